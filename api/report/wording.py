"""A report in words and figures for people; page, terminal and Markdown share it."""

from __future__ import annotations

from advisor.report.records import Deployed, Part, PartName, Report
from api.pages import wording as view
from catalog.quantity import Quantity

PART: dict[PartName, str] = {
    "inference": "Inference",
    "idle": "Idle",
    "training": "Training",
    "pue": "Facility",
}
BASIS = {
    "measured": "measured",
    "estimated": "estimated",
    "estimated-runtime": "estimated, runtime too",
    "extrapolated": "extrapolated",
    "stated": "stated by the plan",
    "data-sheet": "data sheet",
    "assumed": "assumed",
    "none-needed": "none",
    "missing": "missing",
}
SHARE_LEAST = 0.004
"""Share of a bar below which a part is not drawn."""


def value(amount: Quantity | None) -> str:
    """An amount's value; a dash where it is missing."""
    if amount is None or amount.value == 0:
        return "–" if amount is None else "0"
    return view.number(amount.value)


def least(amount: Quantity | None) -> str:
    """An amount's value in a narrow cell; where a part is missing its low end, marked."""
    return f"≥ {view.number(amount.least)}" if amount and open_above(amount) else value(amount)


def open_above(amount: Quantity) -> bool:
    """Whether nothing but a low end above 0 can be promised of a value."""
    return amount.high is None and amount.value is not None and amount.least > 0


def part_total(report: Report, name: PartName) -> str:
    """A part's kWh over all deployments, with how many lack it."""
    missing = report.totals.lacking.get(name)
    return value(report.totals.parts_kwh[name]) + (f" ({missing} missing)" if missing else "")


def span(amount: Quantity | None) -> str:
    """An amount's interval; where nothing bounds it above it says so."""
    if amount is None:
        return ""
    if amount.high is not None and amount.low is not None:
        return view.interval(amount.low, amount.high)
    if amount.low is not None:
        return f"at least {view.number(amount.low)}" if amount.low else "not bounded above"
    return "not bounded"


def figure(amount: Quantity | None, unit: str) -> str:
    """Value and unit in one line; where a part is missing the low end, which says so."""
    if amount is None:
        return "–"
    if amount.value is None:
        return "missing"
    if open_above(amount):
        return f"at least {view.number(amount.low)} {unit}"
    return f"{view.number(amount.value)} {unit}"


def texts(count: float) -> str:
    """A number of texts as people say it."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if count >= size:
            return f"{view.number(count / size)} {word}"
    return f"{count:,.0f}"


def setup(answer: Deployed) -> str:
    """The setup of a deployment in one line."""
    run = answer.setup
    choice = [run.precision, f"batch {view.count(run.batch_size)}" if run.batch_size else None]
    more = ", ".join(part for part in choice if part)
    many = f" × {run.n_devices}" if run.n_devices and run.n_devices > 1 else ""
    return f"{run.candidate} on {run.device}{many}" + (f" ({more})" if more else "")


def machines(answer: Deployed) -> str:
    """How many machines, as a cell, with the ends of the interval where they differ."""
    if answer.machines is None:
        return "–"
    if answer.machines_low == answer.machines_high:
        return f"{answer.machines:,}"
    return f"{answer.machines:,} ({answer.machines_low:,}–{answer.machines_high:,})"


def shares(answer: Deployed) -> list[tuple[PartName, float, float]]:
    """The bar of a deployment: part, start and width in percent of its known kWh."""
    known = answer.kwh.value or 0.0
    bars, at = [], 0.0
    for part in answer.parts:
        share = (part.kwh.value or 0.0) / known if known else 0.0
        if share >= SHARE_LEAST:
            bars.append((part.name, round(100 * at, 2), round(100 * share, 2)))
        at += share
    return bars


def lacking(report: Report) -> str:
    """What the totals leave out, in words; empty where they are whole."""
    said = [
        f"{PART[name].lower()} of {count} of {report.totals.deployments}"
        for name, count in report.totals.lacking.items()
    ]
    return f"Left out because nobody knows it: {', '.join(said)}." if said else ""


def formula(report: Report, part: Part) -> str:
    """How a part is computed."""
    return next((method.formula for method in report.methods if method.id == part.method), "")


def saved(saving: Quantity | None, unit: str) -> str:
    """What is saved, in words."""
    return "" if saving is None else f"{view.number(saving.value)} {unit}"
