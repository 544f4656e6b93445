"""Wording and number formats of answers, shared by pages and terminal.

Records and codes go in, sentences, rounded figures and addresses of pages come out.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup, escape

from advisor.recommend.query import AS_SPECIFIED
from advisor.recommend.records import (
    Cascade,
    Comparison,
    EnergyPer1000,
    Missing,
    Option,
    PricedMachine,
    Rejected,
    Shortfall,
)
from advisor.recommend.warnings import SCENARIOS

BASIS = {
    "measured": "energy was measured on that device",
    "estimated": "energy is estimated from the runtime measured on that device",
    "estimated-runtime": "energy and runtime are both estimated",
    "extrapolated": "estimated beyond the data the estimator learned from",
}
ENERGY_KIND = {
    "measured": "measured",
    "mixed": "measured in part",
    "estimated": "estimated",
    "estimated-runtime": "estimated, runtime too",
    "extrapolated": "extrapolated",
}
FIGURE_BASIS = {
    "measured": "measured",
    "stated": "as you stated",
    "estimated": "estimated",
    "estimated-runtime": "estimated",
    "extrapolated": "extrapolated",
}
"""Basis of a runtime or of combined figures -> one word."""
LABEL = {
    "measured": "read from a counter or meter",
    "modelled": "power was assumed, not read",
    "mixed": "part read, part modelled",
    "estimated": "estimated, not read",
}
SCENARIO = SCENARIOS
SCOPE = {
    "device": "the chip only",
    "host": "the whole machine (chip, CPU and memory)",
    "wall": "the machine at the plug",
}
REASON = {
    "majority-class": "for comparison only",
    "accuracy-too-low": "not accurate enough",
    "accuracy-unknown": "accuracy unknown",
    "accuracy-interval-absent": "no interval for its accuracy",
    "cannot-keep-up": "cannot keep up with the rate",
    "latency-too-high": "too slow",
    "latency-unknown": "latency unknown",
    "memory-too-high": "needs too much memory",
    "memory-unknown": "memory unknown",
    "runtime-unknown": "runtime unknown",
    "runtime-implausible": "stated runtime above the peak rate",
    "licence-differs": "another licence",
    "energy-absent": "no energy figure",
    "labels-too-few": "needs more labelled texts",
    "language-differs": "another language",
    "not-measured-there": "not measured on that device",
    "backend-differs": "cannot be served that way",
    "does-not-fit": "too large for the device",
    "below-majority-share": "no better than the most frequent class",
    "contaminated": "trained on this data set",
    "not-obtainable": "no open weights",
    "more-energy": "needs more energy",
}


CONSTRAINT = {
    "min_acc": "accuracy",
    "max_latency_ms": "latency in ms",
    "max_memory_gb": "memory in GB",
    "confidence": "how sure its accuracy is",
    "labels": "labelled texts",
    "rate": "texts per second",
}


def constraint(name: str) -> str:
    """Name of a constraint of the question, in words."""
    return CONSTRAINT.get(name, name.replace("_", " "))


def reason(code: str) -> str:
    """Why a candidate lost, in words; a code without an entry is shown as it is."""
    return REASON.get(code, code.replace("-", " "))


def number(value: float | None) -> str:
    """Three significant digits, thousands separated; a dash for a missing value."""
    if value is None:
        return "–"
    if value == 0 or not math.isfinite(value):
        return str(value)
    places = 2 - math.floor(math.log10(abs(value)))
    if places <= 0:
        return f"{round(value, places):,.0f}"
    return f"{value:.3g}" if places > 6 else f"{value:,.{places}f}"


def full_digits(value: object) -> str:
    """A figure of a question with all its digits, to be used in another question."""
    return str(value).removesuffix(".0")


def count(value: float | None) -> str:
    """A whole number without decimals; a published mean keeps its digits."""
    whole = value is not None and float(value).is_integer()
    return f"{value:,.0f}" if whole else number(value)


_SI_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ"))


def si_prefixed(value: float, unit: str = "") -> str:
    """An axis value with SI prefix and unit, e.g. ``20 kJ``; plain digits without a unit."""
    if not unit or value == 0:
        return f"{value:g}{unit and ' '}{unit}"
    size, prefix = next((p for p in _SI_PREFIXES if abs(value) >= p[0] * 0.9999), _SI_PREFIXES[-1])
    return f"{value / size:.3g}\u202f{prefix}{unit}"


def interval(low: float | None, high: float | None) -> str:
    """An interval; empty where there is none or it is narrower than the digits shown."""
    if low is None:
        return "" if high is None else f"at most {number(high)}"
    shown = number(low), number(high)
    return "" if shown[0] == shown[1] else " – ".join(shown)


def joules(energy: EnergyPer1000) -> str:
    """Joules per 1,000 texts: the value, or the published upper bound."""
    return number(energy.value) if energy.value is not None else f"under {number(energy.high)}"


def accuracy(value: float | None) -> str:
    """An accuracy to three decimals."""
    return "–" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    """A percentage; a dash for a missing one."""
    return "–" if value is None else f"{number(round(value, 1))}\u202f%"


def cascade(found: Cascade) -> str:
    """A cascade in one sentence, with what it would save."""
    energy, mean = found.energy_j_per_1000, found.accuracy
    saved = "" if found.saves is None else f", {found.saves:.0%} less than the chosen option"
    tie = " (the intervals overlap)" if "tie" in found.warnings else ""
    return (
        f"{found.first.candidate}, handing on to {found.second.candidate} what it scores under "
        f"{found.threshold:.3f} ({found.deferred:.0%} of texts): "
        f"accuracy {accuracy(mean.value)} ({accuracy(mean.low)} – {accuracy(mean.high)}), "
        f"{joules(energy)} J per 1,000 texts"
        f"{saved}{tie}; computed from {FIGURE_BASIS[energy.basis]} figures, never run"
    )


def comparison(each: Comparison) -> str:
    """One sentence that compares an option with the chosen one on the same test items."""
    p = "under 0.001" if each.p_value < 0.001 else f"{each.p_value:.3f}"
    return f"{each.candidate}: {each.message}; exact McNemar test p {p}"


def sentences(to_sentence: Callable[[Any], str], records: Iterable[Any]) -> list[str]:
    """One sentence for each record."""
    return [to_sentence(record) for record in records]


def capitalized(text: str) -> str:
    """A sentence with its first letter in upper case, the rest unchanged."""
    return text[:1].upper() + text[1:]


def runtime_basis(option: Option) -> str:
    """Basis of an option's runtime in words; empty without a runtime."""
    found = option.runtime_s_per_1000
    if found is None:
        return ""
    if "rate-worked-out" in option.warnings and option.rate_per_s is not None:
        return f"as they arrive, {option.rate_per_s:g} a second"
    return FIGURE_BASIS[found.basis]


def device_name(name: str) -> str:
    """A device's name; a device given by its specs has none."""
    return "the device as specified" if name == AS_SPECIFIED else name


def device_count(option: Option) -> str:
    """A device and, where there were or must have been several, their number."""
    name = device_name(option.device)
    if (option.n_devices or 1) > 1:
        return f"{name} × {option.n_devices}"
    if (option.n_devices_at_least or 1) > 1:
        return f"{name} × {option.n_devices_at_least} or more"
    return name


def parameters(count: float | None) -> str:
    """A parameter count such as ``66 M parameters``; empty where it is unknown."""
    return "" if count is None else f"{short_count(count)} parameters"


def short_count(count: float) -> str:
    """A large count in thousands, millions or billions."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {letter}"
    return f"{count:.0f}"


def bounds(energy: EnergyPer1000) -> list[float]:
    """Low end, value and high end, without the missing ones; joules per 1,000 texts."""
    return [bound for bound in (energy.low, energy.value, energy.high) if bound]


class Axis:
    """A logarithmic axis over energies, in percent of its width.

    Args:
        energies: Joules per 1,000 texts that have to fit on it.
    """

    def __init__(self, energies: Iterable[EnergyPer1000]) -> None:
        found = [bound for energy in energies for bound in bounds(energy)]
        self.low = math.floor(math.log10(min(found, default=1)) * 2) / 2
        self.high = max(math.ceil(math.log10(max(found, default=10)) * 2) / 2, self.low + 0.5)

    def at(self, value: float) -> float:
        """Position of a value, 1 to 99 % for values that were given."""
        return round(1 + 98 * (math.log10(value) - self.low) / (self.high - self.low), 2)

    def mark(self, energy: EnergyPer1000) -> dict[str, float | None]:
        """Positions of interval and value, percent of the width."""
        known = bounds(energy)
        if not known:
            return {"low": None, "high": None, "value": None}
        value = self.at(energy.value) if energy.value else None
        low = self.at(energy.low) if energy.low else 0.0
        return {"low": low, "high": self.at(max(known)), "value": value}


def energy_kind(energy: EnergyPer1000) -> str:
    """Basis of an energy, or ``mixed`` where part of it was modelled."""
    return "mixed" if energy.label == "mixed" else energy.basis


def setup_id(run_id: str | None, *choice: object) -> str:
    """Short hash of a row, unique among those of a candidate on a workload and device."""
    text = "|".join(f"{c:g}" if isinstance(c, (int, float)) else str(c) for c in (run_id, *choice))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def setup_url(option: Option) -> str:
    """Address of an option's provenance; of its candidate where the device has no page.

    Of an option that nobody ran, the results behind its accuracy.
    """
    if option.device == AS_SPECIFIED:
        return f"/catalog?{urlencode({'workload': option.workload, 'q': option.candidate})}"
    if option.provenance.run_id is None:  # no row: the results behind its accuracy
        where = {"candidate": option.candidate, "workload": option.workload}
        return f"/accuracies?{urlencode(where)}"
    choice = (
        option.scenario,
        option.backend,
        option.precision,
        option.batch_size,
        option.variant,
    )
    row = setup_id(option.provenance.run_id, *choice)
    return f"{cell_url(option.candidate, option.device, option.workload)}#{row}"


def cell_url(candidate: str, device: str, workload: str | None = None) -> str:
    """Address of the setups of a candidate on a device, on one workload or all."""
    where = {"candidate": candidate, "device": device}
    return f"/setups?{urlencode(where | ({'workload': workload} if workload else {}))}"


def slug(name: str) -> str:
    """A name as part of an address: lower case, words joined by hyphens."""
    text = name.casefold().replace("+", "-plus ")
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def code_spans(text: str) -> Markup:
    """A sentence as HTML, text between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    parts[1::2] = [Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    return Markup().join(parts)


def text_or_link(value: str) -> str:
    """A text as it is, an https address as a link."""
    if value.startswith("https://") and " " not in value:
        return Markup('<a href="{0}" rel="noopener noreferrer">{0}</a>').format(value)
    return value


def shortfalls(missing: Missing) -> str:
    """All constraints a nearest miss fails, the worst first."""
    return "; ".join(_shortfall(each) for each in (missing, *missing.also))


def _shortfall(short: Shortfall) -> str:
    """One failed constraint: the value asked for and the option's."""
    has = short.has
    shown = "no figure" if has is None else number(has) if isinstance(has, float) else has
    if short.constraint == "min_acc" and isinstance(has, float):
        shown = f"{has:.4g}"
    asked = f"{short.asked:g}" if isinstance(short.asked, float) else short.asked
    return f"{constraint(short.constraint)} asked for {asked}, it has {shown}"


def energy_ratio(option: Option, least: Option) -> str:
    """Energy of an option over the least energy; empty where one is only a bound."""
    energies = option.energy_j_per_1000.value, least.energy_j_per_1000.value
    return number(energies[0] / energies[1]) if energies[0] and energies[1] else ""


def by_reason(rejected: Iterable[Rejected]) -> list[tuple[str, list[Rejected]]]:
    """Rejected candidates by reason, in the order of the answer."""
    groups: dict[str, list[Rejected]] = {}
    for entry in rejected:
        groups.setdefault(entry.reason, []).append(entry)
    return list(groups.items())


def option_key(option: Option) -> tuple[object, ...]:
    """Key that is unique among the options of an answer."""
    return (
        option.candidate,
        option.device,
        option.backend,
        option.precision,
        option.batch_size,
        option.n_devices,
        option.provenance.run_id,
        option.energy_j_per_1000.value,
    )


def factor(option: Option) -> str:
    """Energy of an option over that of the chosen one, with its interval; empty without one."""
    found = option.energy_factor
    if found is None:
        return ""
    return f"× {number(found.value)} ({number(found.low)} – {number(found.high)})"


def machine(found: PricedMachine) -> str:
    """A machine in words: its device, its host CPU where it has one, and an instance's size."""
    name = device_name(found.device)
    count = f"{found.n_devices} × " if found.n_devices > 1 else ""
    beside = "" if found.host_cpu == found.device else f" with {found.host_cpu}"
    if found.instance is None:
        return f"{count}{name}{beside}"
    size = [f"{number(found.vcpus)} vCPUs"] if found.vcpus else []
    size += [f"{number(found.memory_gb)} GB"] if found.memory_gb else []
    return f"{count}{name}{beside} ({found.instance}: {', '.join(size)})"


def serving(option: Option) -> str:
    """Backend, numeric format and batch of an option, as far as they are known."""
    size = f"batch {count(option.batch_size)}" if option.batch_size else None
    return ", ".join(filter(None, (option.backend, option.precision, size)))


def axis(options: Iterable[Option]) -> Axis:
    """Energy axis that fits all options of a table."""
    return Axis(option.energy_j_per_1000 for option in options)
