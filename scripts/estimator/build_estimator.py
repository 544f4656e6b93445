"""Trains the bundled estimator on the bundled figures alone and writes its error table.

python scripts/estimator/build_estimator.py            # writes advisor/estimator/artefact_files,
docs/errors.md
python scripts/estimator/build_estimator.py --check    # exit 1 if the table is not the scorecard's
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from advisor.estimator.artefact import SCORECARD
from advisor.evaluation.scorecard import PROBED
from advisor.evaluation.train import train
from catalog.snapshot import load

ROOT = Path(__file__).resolve().parents[2]
ARTEFACT, TABLE = ROOT / "advisor" / "estimator" / "artefact_files", ROOT / "docs" / "errors.md"
START, END = "<!-- error table: start -->", "<!-- error table: end -->"
SPLITS = {
    "model": "model, on a device seen with others",
    "family": "model family, on a device seen with others",
    "device": "device",
    "source": "source of measurements",
}
METHODS = {
    "estimator": "**Joulewise**",
    "tdp_time": "TDP x time",
    "const_power": "constant watts x time",
    "ols_time": "OLS: log time",
    "ols_time_tdp_params": "OLS: log time, TDP, parameters",
    "lightgbm_power": "LightGBM on log power",
}
_HOW = ("probes", "picked")
_PICKED = (
    ("**Joulewise**", "", None),
    ("**Joulewise**, runtime unknown", "_unknown_runtime", None),
    *((METHODS[name], "_baselines", name) for name in PROBED),
)
"""Lines of the table of picked probe rows: method, part of the scorecard and entry in it."""
FEWEST_SHOWN = 60
"""Rows of a class of question that has a line of its own."""
REGRETS = ("regret", "choice_regret", "choice_regret_median")


def _line(split: str, method: str, error: dict[str, Any]) -> str:
    """One line of the table."""
    coverage, width = error.get("coverage90"), error.get("width90")
    taus = [error.get(name) for name in ("kendall_tau", "choice_kendall_tau")]
    regrets = [error.get(name) for name in REGRETS]
    cells = [
        split,
        method,
        f"{error['mdape_macro_device']:.0f} %",
        f"{error['mdape_macro_low']:.0f} - {error['mdape_macro_high']:.0f}",
        f"{error['within25']:.0f} %",
        f"{error['within2x']:.0f} %",
        "" if coverage is None else f"{coverage:.0f} %",
        "" if width is None else f"{width:.3g}",
        ", ".join(f"{tau:.2f}" for tau in taus if tau is not None),
        ", ".join(f"{regret:.1f} %" for regret in regrets if regret is not None),
    ]
    return f"| {' | '.join(cells)} |"


def table(card: dict[str, Any]) -> str:
    """The error table of a scorecard as Markdown."""
    lines = [
        f"Estimator {card['version']}, {card['n_rows']} rows on {card['n_devices']} devices of "
        f"{len(card['sources'])} sources; written by `make estimator`.",
        "",
        "| held out | method | MdAPE, macro over devices | 90 % bootstrap | within 25 % "
        "| within 2 x | 90 % interval covers | high / low | Kendall tau: device, choice "
        "| regret: device, choice, median choice |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, title in SPLITS.items():
        split = card["splits"][name]
        known = {"estimator": split["known_runtime"]["estimator"]}
        known |= split["known_runtime"]["baselines"]
        lines += [_line(title, METHODS[method], error) for method, error in known.items()]
        unknown = split["unknown_runtime"]["estimator"]
        lines.append(_line(title, "**Joulewise**, runtime unknown", unknown))
        for runtime, key in (("", "probes"), (", runtime unknown", "probes_unknown_runtime")):
            lines += [
                _line(title, f"**Joulewise**{runtime}, {k} probe row{'s' * (k != '1')}", error)
                for k, error in split[key].items()
                if k != "0" and error
            ]
        lines += [
            _line(title, f"{METHODS[name]}, {k} probe row{'s' * (k != '1')}", error)
            for k, methods in split["probes_baselines"].items()
            for name, error in methods.items()
            if k != "0" and error
        ]
        if "other_scope" in split:
            another = split["other_scope"]
            lines.append(_line(title, "**Joulewise**, measured in another scope", another))
    return "\n".join([*lines, "", *picks(card), "", *runtimes(card), "", *differences(card)])


def runtimes(card: dict[str, Any]) -> list[str]:
    """Errors of the runtime model, all rows and by class of question, as a table in Markdown."""
    titles = {"device": "device", "publisher": "publisher", "both": "device and publisher"}
    lines = [
        "| held out | class of question | rows | devices | publishers | MdAPE, all rows "
        "| median device | interval covers | high / low |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for regime, title in titles.items():
        part = card["runtime"][regime]
        whole = {"the one-line rule": part["baselines"]["one_line_rule"]}
        for name, own in ({"**Joulewise**": part["estimator"]} | whole).items():
            cells = [f"{own[key]:.0f} %" for key in ("mdape", "mdape_median_device")]
            covers = "" if own.get("coverage90") is None else f"{own['coverage90']:.0f} %"
            width = "" if own.get("width90") is None else f"{own['width90']:.3g}"
            lines.append(
                f"| {title} | all, {name} | {part['n_test']} | | | {' | '.join(cells)} "
                f"| {covers} | {width} |"
            )
        for own in part["classes"]:
            if own["n"] >= FEWEST_SHOWN:
                lines.append(
                    f"| {title} | {own['class']} | {own['n']} | {own['devices']} "
                    f"| {own['publishers']} | {own['mdape']:.0f} % "
                    f"| {own['mdape_median_device']:.0f} % | {own['coverage90']:.0f} % "
                    f"| {own['width90']:.3g} |"
                )
    return lines


def differences(card: dict[str, Any]) -> list[str]:
    """Held-out ratios between backends and formats, and libraries on CPUs, in Markdown."""
    lines = [
        "| ratio of two | pairs | devices | publishers | standard deviation of its error (log) "
        "| stated | interval covers |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {own['varied']}s | {own['n']} | {own['devices']} | {own['publishers']} | {own['sd']} "
        f"| {own['stated_sd']} | {own['coverage90']:.0f} % |"
        for own in card["ratios"]
    ]
    lines += [
        "",
        "| encoders in PyTorch, ONNX Runtime or a compiler on CPUs: interval | rows | devices "
        "| publishers | covers | high / low |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {own['interval']} | {own['n']} | {own['devices']} | {own['publishers']} "
        f"| {own['coverage90']:.0f} % | {own['width90']:.3g} |"
        for own in card["cpu_libraries"]
    ]


def picks(card: dict[str, Any]) -> list[str]:
    """What picking the probe rows comes to, MdAPE and regret, as a table in Markdown."""
    ks = [k for k in card["splits"]["device"]["picked"] if k != "0"]
    lines = [
        f"| held out | method | {' | '.join(f'{k} drawn | {k} picked' for k in ks)} |",
        f"|---|---|{'---|' * 2 * len(ks)}",
    ]
    for name in ("device", "source"):
        for method, part, key in _PICKED:
            found = [card["splits"][name][f"{how}{part}"][k] for k in ks for how in _HOW]
            told = [own[key] if key else own for own in found]
            figures = [f"{own['mdape_macro_device']:.1f} %, {own['regret']:.1f} %" for own in told]
            cells = [SPLITS[name], method, *figures]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def with_table(text: str, card: dict[str, Any]) -> str:
    """A document with the table between its markers."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table(card)}\n{END}{after}"


def main() -> int:
    """Writes, or checks, the artefact's table; the exit status says whether it was current."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    if not check:
        train(load(), ARTEFACT, force=True)
    card = json.loads((ARTEFACT / SCORECARD).read_bytes())
    text = TABLE.read_text(encoding="utf-8")
    wanted = with_table(text, card)
    if check:
        return int(wanted != text)
    TABLE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
