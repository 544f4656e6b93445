"""An answer in brief: the best option of every family, a year's energy, a sentence to cite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from advisor.recommend.advisor import Advisor, Asked
from advisor.recommend.entries import Entry
from advisor.recommend.query import BadQuestionError, Query
from advisor.recommend.records import EnergyPer1000, Option, Recommendation
from advisor.recommend.variants import Writer
from api.pages import names, wording
from catalog.records import Family
from catalog.snapshot import Snapshot

LLMS: tuple[Family, ...] = ("zero-shot-llm", "few-shot-llm", "fine-tuned-llm", "reasoning-llm")
_RIVALS: tuple[tuple[Family, ...], ...] = (LLMS, ("fine-tuned-encoder", "setfit"))
"""Families that an answer is held against, first those that teams would take else."""
JOULES_PER_KWH = 3.6e6
DAYS = 365


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A family in an answer.

    Attributes:
        option: Its member of least energy that meets every condition, else the most accurate one.
        reason: Why it does not meet every condition; empty where it does.
        n_known: Members with an accuracy on the workload; `n_qualify` of them meet the conditions.
    """

    family: str
    option: Option
    reason: str
    n_known: int
    n_qualify: int

    @property
    def qualifies(self) -> bool:
        """Whether it meets every condition."""
        return not self.reason


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """What a first look needs.

    Attributes:
        standings: Every family with a known accuracy: those that qualify, then the others, each
            by energy.
        rival: The family to compare with; ``None`` where no other one qualifies.
        cloud: Joules per 1,000 texts and accuracy of every candidate that was priced.
    """

    standings: list[Standing]
    rival: Standing | None
    cloud: list[tuple[float, float]]


class Picked(NamedTuple):
    """An entry that stands for others; `reason` and `detail` say why it does not qualify."""

    entry: Entry
    reason: str = ""
    detail: str = ""


def pick(entries: list[tuple[int, Entry]], asked: Asked) -> Picked:
    """The cheapest of some entries that qualifies, else the most accurate one.

    Args:
        entries: Places in the prices and entries, least energy first.
        asked: The question they were priced for.
    """
    qualifies = set(asked.judged.qualifies)
    cheapest = next((entry for place, entry in entries if place in qualifies), None)
    if cheapest is not None:
        return Picked(cheapest)
    fits = [pair for pair in entries if asked.judged.limits[pair[0]] == 0]
    place, best = max(
        fits or entries, key=lambda pair: pair[1].evidence.value if pair[1].evidence else 0.0
    )
    first = asked.judged.verdicts(place)[0]
    return Picked(best, first.reason, first.detail)


def brief(advisor: Advisor, query: Query) -> Brief:
    """The families of a question and the one that an answer is held against.

    Raises what `Advisor.recommend` does.
    """
    asked = advisor.asked(query)
    members: dict[str, list[tuple[int, Entry]]] = {}
    for place, entry in enumerate(asked.entries):
        if entry.evidence is not None and math.isfinite(entry.joules):
            members.setdefault(entry.candidate.family, []).append((place, entry))
    qualified = asked.qualified
    chosen = qualified[0] if qualified else None
    picked = {family: pick(own, asked) for family, own in members.items()}
    write = Writer(asked.judged.prices, chosen, advisor.snapshot, advisor.estimator)
    options = write.options([each.entry for each in picked.values()], listed=True)
    places = set(asked.judged.qualifies)
    found = [
        Standing(
            family=family,
            option=option,
            reason=picked[family].reason,
            n_known=len({entry.candidate.name for _, entry in members[family]}),
            n_qualify=len({e.candidate.name for place, e in members[family] if place in places}),
        )
        for family, option in zip(picked, options, strict=True)
    ]
    found.sort(key=lambda each: (not each.qualifies, _joules(each.option)))
    cloud = [(e.joules, e.evidence.value) for own in members.values() for _, e in own if e.evidence]
    return Brief(standings=found, rival=_rival(found, chosen), cloud=cloud)


def _joules(option: Option) -> float:
    """Joules per 1,000 texts, a published bound at its high end."""
    energy = option.energy_j_per_1000
    return energy.value or energy.high or math.inf


def _rival(standings: list[Standing], chosen: Entry | None) -> Standing | None:
    """The cheapest qualifying language model, else fine-tuned encoder, else the dearest family."""
    own = chosen.candidate.family if chosen else None
    others = [s for s in standings if s.qualifies and s.option.energy_factor and s.family != own]
    for families in _RIVALS:
        if own in families:
            continue
        if found := [each for each in others if each.family in families]:
            return found[0]
    return others[-1] if others else None


def share(factor: float) -> str:
    """A part of somebody else's energy: ``1/40`` of it, or ``80%``."""
    parts = float(f"{factor:.2g}")
    if parts < 2:
        return f"{1 / factor:.0%}"
    return f"1/{parts:,.0f}" if parts >= 10 else f"1/{parts:g}"


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """How many texts there are, and what a kWh costs (EUR); both stated by whoever asks."""

    texts_per_day: float = 100_000
    price_per_kwh: float = 0.30


VOLUME = Volume.__struct_fields__
_LIMITS = {"texts_per_day": (1, 1e12), "price_per_kwh": (0, 1e3)}


def volume_of(fields: Mapping[str, str]) -> Volume:
    """The volume that a form states; its defaults where it states none.

    Raises:
        BadQuestionError: A field holds no number of its range.
    """
    found = {}
    for name in VOLUME:
        if not (text := fields.get(name, "").strip()):
            continue
        low, high = _LIMITS[name]
        try:
            found[name] = float(text)
        except ValueError:
            found[name] = math.nan
        if not low <= found[name] <= high:
            raise BadQuestionError(name, text, f"a number from {low:g} to {high:g}")
    return Volume(**found)


def at_rate(volume: Volume, rate_per_s: float | None) -> Volume:
    """The volume of a request rate, where there is one: what arrives in a day."""
    if rate_per_s is None:
        return volume
    return msgspec.structs.replace(volume, texts_per_day=86_400 * rate_per_s)


class Year(NamedTuple):
    """A year's energy of inference: kWh with its interval, and what it costs."""

    kwh: float | None
    low: float | None
    high: float | None
    cost: float | None


def year(energy: EnergyPer1000, volume: Volume) -> Year:
    """What an option needs in a year of 365 days.

    A machine's waiting time is in it only where the energy is of a request rate.
    """
    scale = volume.texts_per_day * DAYS / 1000 / JOULES_PER_KWH
    ends = (None if j is None else j * scale for j in (energy.value, energy.low, energy.high))
    kwh, low, high = ends
    return Year(kwh, low, high, None if kwh is None else kwh * volume.price_per_kwh)


def citation(answer: Recommendation, snapshot: Snapshot, address: str) -> str:
    """The answer as one sentence with its source and address; empty where nothing qualifies."""
    chosen, query = answer.chosen, answer.query
    if chosen is None:
        return ""
    energy, accuracy = chosen.energy_j_per_1000, chosen.accuracy
    sure = f", {query.confidence:.0%} sure" if query.confidence else ""
    limits = wording.interval(energy.low, energy.high)
    kind = wording.ENERGY_KIND[wording.energy_kind(energy)]
    needs = (
        f"{wording.joules(energy)} J per 1,000 texts ({', '.join(filter(None, (limits, kind)))})"
    )
    reached = ""
    if accuracy is not None:
        ends = "" if accuracy.low is None else f" ({accuracy.low:.3f} – {accuracy.high:.3f})"
        reached = f", accuracy {accuracy.value:.3f}{ends} by {accuracy.source or 'the catalog'}"
    return (
        f"For {names.task(query.task)} ({names.described(snapshot.workloads[chosen.workload])}) at "
        f"{query.metric.replace('_', '-')} {query.min_acc:g} or more{sure}, {chosen.candidate} "
        f"needs the least energy on {wording.machine(answer.machine)}: {needs}{reached}. "
        f"Joulewise, catalog {answer.catalog_digest[:12]}, estimator {answer.estimator_version}, "
        f"{address}"
    )


def ways_out(answer: Recommendation, fields: Mapping[str, str]) -> list[tuple[str, str]]:
    """What to ask instead where nothing qualifies: words and addresses, the nearest first."""
    if answer.chosen is not None:
        return []
    found: list[tuple[str, dict[str, str]]] = []
    missing = answer.nearest_miss.missing if answer.nearest_miss else None
    for short in (missing, *missing.also) if missing else ():
        name, has = short.constraint, short.has
        if name == "min_acc" and isinstance(has, float):
            lower = f"{math.floor(has * 100) / 100:g}"
            found.append((f"at least {lower}, which the closest one reaches", {name: lower}))
        elif name in fields:
            found.append((f"without the condition on {wording.constraint(name)}", {name: ""}))
    if answer.query.confidence:
        found.append(("the accuracies as they were measured", {"confidence": "0"}))
    if answer.query.labels != "full":
        found.append(("with as many labelled texts as needed", {"labels": ""}))
    if fields.get("basis"):
        found.append(("with estimated energy too", {"basis": ""}))
    if fields.get("workload"):
        found.append(("on the usual data set of the task", {"workload": ""}))
    changed = ((words, {k: v for k, v in {**fields, **new}.items() if v}) for words, new in found)
    return [(words, f"/?{urlencode(asked)}") for words, asked in changed]
