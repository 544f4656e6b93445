"""The command ``joulewise devices``: machines of the table, by words of their names."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from api.cli import terminal
from api.cli.context import load_snapshot
from catalog.records import Kind

_SHOWN = (("tdp_w", "TDP, W"), ("idle_w", "idle, W"), ("memory_gb", "memory, GB"))
_MOST = 1_000_000


def devices(
    words: Annotated[
        list[str] | None, typer.Argument(help="Words of a name, or a cloud instance type.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only cpu, gpu, npu or soc.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Devices whose names hold all words; ~ marks a default of the device's class."""
    from api.service import listing

    asked = " ".join(words or ())
    found = listing.devices(load_snapshot(), kind, asked or None, _MOST, None).items
    if as_json:
        return terminal.print_json(msgspec.to_builtins(found))
    rows = [[each.name, each.kind, *_figures(each), each.host_cpu or ""] for each in found]
    columns = ["device", "kind", *(title for _, title in _SHOWN), "usual host CPU"]
    title = f"{len(found)} device{'s' * (len(found) != 1)}; ~ a default of its class"
    return terminal.print_table(title, columns, rows, right={title for _, title in _SHOWN})


def _figures(device: Any) -> list[str]:
    """What is shown of a device's figures, class defaults marked."""
    return [
        f"~{device.defaults[name]:.3g}" if name in device.defaults else f"{getattr(device, name):g}"
        for name, _ in _SHOWN
    ]
