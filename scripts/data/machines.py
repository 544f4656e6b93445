"""Builds and checks the bundled machines: devices, their class defaults, cloud instances.

Reads the device tables and instance types below ``../shared/data`` (or ``--data``) and the tables
beside this script, and writes `devices.csv`, `device_classes.csv`, `spec_ranges.csv` and
`instances.csv` of `catalog/reference`. ``--check`` rebuilds in memory and fails with a diff where
the committed files differ; without the data folder it says so and compares nothing.

Of two tables that name one device the first stands and the others fill its empty figures, their
source behind its own; devices of the measured energies, which estimators train on, stand alone.
Figures are read or derived by the rule their source states; what a device lacks after that stays
empty here and gets its class default where it is read, marked.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import io
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from catalog.errors import AmbiguousNameError, UnknownNameError  # noqa: E402
from catalog.hardware.device_defaults import (  # noqa: E402
    SPEC_RATIOS,
    DeviceClass,
    device_class,
    spec_ratios,
)
from catalog.hardware.device_names import DeviceNames  # noqa: E402
from catalog.hardware.instances import Instance  # noqa: E402
from catalog.records import Device  # noqa: E402
from catalog.reference_files import from_cells  # noqa: E402

Row = dict[str, str]
HERE = Path(__file__).resolve().parent
REFERENCE = ROOT / "catalog" / "reference"
DATA = ROOT.parent / "shared" / "data"
FEWEST = 3
"""Readings a class needs before their median is its default."""
IDLE_SHARE = (0.05, 0.1, 0.3)
"""Idle power over TDP (low, value, high) of classes with fewer readings. An assumption: the value
is the estimator's rule of 0.1 TDP, the ends are round figures near the medians of other classes."""
WIDENED = 4.0
"""By how much the ranges of plausible specs reach beyond the bundled devices, both ways."""


def read(path: Path) -> list[Row]:
    """Rows of a CSV file, cells as printed."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def to_csv(rows: Iterable[Row], names: Iterable[str]) -> str:
    """Rows as CSV text with the columns `names`, those that no row uses left out."""
    rows = list(rows)
    used = [name for name in names if any(row.get(name) for row in rows)]
    out = io.StringIO()
    writer = csv.DictWriter(out, used, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def joined(text: str) -> str:
    """Parts between semicolons, each once, without notes in parentheses at their end."""
    parts = (re.sub(r" \((topology file name|Proxy)\)$", "", p.strip()) for p in text.split(";"))
    return ";".join(dict.fromkeys(part for part in parts if part))


def device_rows(data: Path, instances: set[str]) -> list[Row]:
    """Every device of the tables, in their order; see the module about names that come twice."""
    found: dict[str, Row] = {}
    ours = {"device": "name", "memory_bandwidth_gbs": "bandwidth_gbs"}
    tables = [
        ("energy", read(data / "energy" / "devices.csv")),
        ("runtime", read(data / "runtime" / "devices_needed.csv")),
        ("", read(HERE / "machines_added.csv")),
    ]
    for dataset, rows in tables:
        for cells in rows:
            row = {ours.get(name, name): text for name, text in cells.items() if name != "rows"}
            row["dataset"] = dataset or row["dataset"]
            if dataset == "runtime":
                aliases = [a for a in joined(row["aliases"]).split(";") if a not in instances]
                row |= {"aliases": ";".join(aliases), "isa": joined(row["isa"])}
            if row["status"] == "not found" and row["memory_gb"] and not row["source"]:
                row |= {"status": "partly", "source": "memory: from the printed name"}
            known = found.setdefault(row["name"], row)
            if known is not row and known["dataset"] != "energy":
                fill(known, row)
    for each in read(HERE / "device_aliases.csv"):
        row = found[each["device"]]
        row["aliases"] = joined(f"{row['aliases']};{each['alias']}")
    return list(found.values())


def fill(known: Row, row: Row) -> None:
    """Fills the empty figures of a device from a later table; its source names them."""
    keep = {"name", "kind", "source", "status", "dataset", "aliases"}
    filled = [name for name, text in row.items() if text and not known[name] and name not in keep]
    known.update({name: row[name] for name in filled})
    if filled:
        said = f"{', '.join(filled)}: {row['source']}"
        known["source"] = f"{known['source']}; {said}" if known["source"] else said
    if known["status"] == "not found" and filled:
        known["status"] = row["status"]
    known["aliases"] = joined(f"{known['aliases']};{row['aliases']}")


def instance_rows(data: Path, devices: dict[str, Device]) -> list[Row]:
    """Instance types with the names of the device table, or why none can be given."""
    names, found = DeviceNames(devices.values()), []
    for cells in read(data / "instances" / "cloud_instances.csv"):
        gpu, cpus = cells["gpu_device"], [c for c in cells["cpu_device"].split(";") if c]
        row = {
            "name": cells["instance"],
            "accelerator": gpu,
            "n_accelerators": cells["n_gpus"] if gpu else "",
            "accelerator_memory_gb": cells["gpu_memory_gb"],
            **cells,
        }
        why = []
        try:
            row["accelerator"] = names.find(gpu).device.name if gpu else ""
        except AmbiguousNameError as error:
            size = f"{cells['gpu_memory_gb']}GB"
            of_size = [name for name in error.known if size in name] or error.known
            why.append(f"{gpu}: form factor not printed; one of {', '.join(of_size)}")
            row["accelerator"] = ""
        except UnknownNameError:
            why.append(f"{gpu}: not in the device table")
        row["cpu"] = ";".join(names.find(cpu.strip()).device.name for cpu in cpus)
        if not gpu and len(cpus) != 1:
            said = re.search(r"CPU varies: [^;]*", cells["notes"])
            several = f"CPU is one of {', '.join(row['cpu'].split(';'))}" if cpus else None
            why.append(several or (said[0] if said else "CPU not stated reliably"))
        found.append(row | {"unresolved": "; ".join(why)})
    return found


def class_rows(devices: list[Device]) -> list[Row]:
    """Classes with the medians of what their devices state, where that is enough."""
    declared = read(HERE / "device_classes.csv")
    unknown = {"memory_gb": "0", "tdp_w": "0", "idle_share": "0"}
    unknown |= {"idle_share_low": "0", "idle_share_high": "0"}
    filled = [unknown | {name: text for name, text in row.items() if text} for row in declared]
    classes = list(from_cells(DeviceClass, filled))
    members: defaultdict[str, list[Device]] = defaultdict(list)
    for device in devices:
        members[device_class(device, classes).device_class].append(device)
    rows = []
    for row in declared:
        own, rules = members[row["device_class"]], [row["rule"]] if row["rule"] else []
        for name in ("memory_gb", "tdp_w"):
            stated = [value for each in own if (value := getattr(each, name))]
            if row[name]:
                continue
            if len(stated) < FEWEST:
                raise ValueError(f"{row['device_class']}: {len(stated)} devices state {name}")
            row[name] = f"{statistics.median(stated):g}"
            rules.append(f"{name}: median of {len(stated)} devices that state it")
        shares = sorted(each.idle_w / each.tdp_w for each in own if each.idle_w and each.tdp_w)
        low, value, high = IDLE_SHARE
        if len(shares) >= FEWEST:
            low, value, high = shares[0], statistics.median(shares), shares[-1]
            rules.append(f"idle: median and range of {len(shares)} readings over TDP")
        else:
            rules.append("idle: 0.1 TDP, the estimator's rule")
        row |= {
            "idle_share": f"{value:.3g}",
            "idle_share_low": f"{low:.3g}",
            "idle_share_high": f"{high:.3g}",
            "rule": "; ".join(rules),
        }
        rows.append(row)
    return rows


def range_rows(devices: list[Device], instances: list[Row]) -> list[Row]:
    """Range of each spec and of each rate over the TDP, by kind, over the bundled devices.

    Memory of a CPU is its machine's, so that the instances and their hosts count too.
    """
    values: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    sizes = [row[name] for row in instances for name in ("memory_gb", "host_memory_gb")]
    values["cpu", "memory_gb"] = [float(size) for size in sizes if size]
    for device in devices:
        for name, value in spec_ratios(device).items():
            values[device.kind, name].append(value)
    rows = []
    for kind in ("cpu", "gpu", "npu", "soc"):
        for name in SPEC_RATIOS:
            own = values[kind, name]
            few = len(own) < FEWEST
            wide = [v for key, all_ in values.items() if name in key for v in all_] if few else own
            whose = "devices of all kinds" if few else "devices of the kind"
            rows.append(
                {
                    "kind": kind,
                    "spec": name,
                    "low": f"{min(wide) / WIDENED:.3g}",
                    "high": f"{max(wide) * WIDENED:.3g}",
                    "rule": f"{min(wide):.3g} to {max(wide):.3g} over {len(wide)} {whose}, "
                    f"widened {WIDENED:g} times both ways",
                }
            )
    return rows


def build(data: Path) -> dict[str, str]:
    """Name of each bundled file -> its text; every row must convert to its record."""
    types = {row["instance"] for row in read(data / "instances" / "cloud_instances.csv")}
    rows = device_rows(data, types)
    devices = list(from_cells(Device, rows))
    instances = instance_rows(data, {device.name: device for device in devices})
    fields = Device.__struct_fields__
    texts = {"devices.csv": to_csv(rows, fields)}
    texts["instances.csv"] = to_csv(instances, Instance.__struct_fields__)
    list(from_cells(Instance, csv.DictReader(io.StringIO(texts["instances.csv"], newline=""))))
    classes = class_rows(devices)
    texts["device_classes.csv"] = to_csv(
        classes,
        (
            *("device_class", "kinds", "pattern", "max_tdp_w", "host_class", "host_cpu"),
            *("host_sockets", "devices_per_host", "memory_gb", "tdp_w", "idle_share"),
            *("idle_share_low", "idle_share_high", "rule"),
        ),
    )
    texts["spec_ranges.csv"] = to_csv(
        range_rows(devices, instances), ("kind", "spec", "low", "high", "rule")
    )
    for name in ("kind", "status", "dataset"):
        print(f"devices by {name}:", dict(Counter(getattr(each, name) for each in devices)))
    return texts


def differences(texts: dict[str, str]) -> list[str]:
    """What the committed files say differently: the first lines of a diff per file."""
    found = []
    for name, new in texts.items():
        path = REFERENCE / name
        old = path.read_bytes().decode() if path.is_file() else ""
        diff = difflib.unified_diff(
            *(text.splitlines() for text in (old, new)), f"committed/{name}", f"rebuilt/{name}", n=0
        )
        found += list(diff)[:40]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Builds or checks; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build or check the bundled machines.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the source tables")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        print(f"no data folder {given.data}: the committed files stay, nothing was compared")
        return 0 if given.check else 2
    texts = build(given.data)
    print(*(f"{name}: {text.count(chr(10)) - 1} lines" for name, text in texts.items()), sep="\n")
    if given.check:
        found = differences(texts)
        print(*(found or ["the committed files are up to date"]), sep="\n")
        return 1 if found else 0
    for name, text in texts.items():
        (REFERENCE / name).write_bytes(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
