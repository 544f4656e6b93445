"""What a reader must know before trusting an answer: its warnings, by code."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.recommend.answer_json import Place
from advisor.recommend.messages import CAUTIONS, SCENARIOS, figure
from advisor.recommend.options import Offer
from advisor.recommend.query import Query
from advisor.recommend.ranking import Ranking
from advisor.recommend.records import Caution, Option, WarningCode
from advisor.recommend.variants import DEARER, sentence
from advisor.recommend.views import NOTABLE, Ranked, View
from catalog.evidence import below_on_most
from catalog.registry.tasks import references, tasks
from catalog.snapshot import Snapshot

THIN = 20
"""Candidates with an accuracy under which a reference workload says little."""


def compared_joules(query: Query, here: Ranking) -> float | None:
    """Joules of the chosen offer, for what other groups need less than.

    ``None`` without one, and for a request rate: its joules hold the waiting, others' do not.
    """
    chosen = _compared(query, here)
    return None if chosen is None else chosen.joules


def _compared(query: Query, here: Ranking) -> Offer | None:
    """The chosen offer, where `compared_joules` are its joules."""
    places = here.winners(query.min_acc).places
    if not places or query.scenario == "server":
        return None
    return here.pool.offers[places[0]]


def cautions(
    snapshot: Snapshot,
    query: Query,
    view: View,
    used: Ranked,
    apart: Sequence[Place],
    listed: Sequence[Place],
    unlike: Sequence[str],
) -> tuple[Caution, ...]:
    """What a reader must know before trusting the answer, by code."""
    codes: dict[WarningCode, str] = {}
    here, winners = used.inside, used.inside.winners(query.min_acc)
    codes |= about_task(snapshot, used.workload, query.min_acc)
    if used is not view.default:
        found = "the answer is about" if winners.places else "the nearest miss is on"
        codes["accuracy-other-workload"] = (
            f"nothing qualifies on {view.default.workload}; {found} {used.workload}, another data "
            "set of the same task: check its accuracy on your own texts"
        )
    if view.hardware is not None and view.hardware.note:
        code: WarningCode = "instance-hardware" if view.hardware.instance else "device-assumed"
        whole = "; energy that counts the host counts a whole one" if view.hardware.instance else ""
        codes[code] = f"{view.hardware.note}{whole}"
    if apart:
        said = _first(apart[0], _compared(query, here))
        codes["other-groups"] = f"{CAUTIONS['other-groups']}: {said}"
    if unlike:
        codes["test-sets-differ"] = f"{CAUTIONS['test-sets-differ']}: {', '.join(unlike[:5])}"
    if raised := _raised([*listed, *apart]):
        codes[DEARER] = sentence(raised)
    if winners.places:
        chosen = here.pool.option(winners.places[0])
        codes |= {code: CAUTIONS[code] for code in chosen.warnings if code != DEARER}
        if (fewest := chosen.n_devices_at_least or 1) > 1:
            codes["devices-unstated"] += (
                f"; its weights need at least {fewest} {chosen.device}, so one does not do"
            )
        codes |= about_accuracy(snapshot, chosen, query.min_acc)
        low = chosen.accuracy.low if chosen.accuracy else None
        if query.confidence is None and low is not None and low < query.min_acc:
            codes["accuracy-uncertain"] = CAUTIONS["accuracy-uncertain"]
        if sum(best >= query.min_acc for best in here.splits.values()) > 1:
            codes["splits-differ"] = CAUTIONS["splits-differ"]
        if winners.tied:
            named = ", ".join(winners.tied)
            codes["tie"] = f"the energy intervals of the chosen option and of {named} overlap"
    return tuple(Caution(code=code, message=text) for code, text in sorted(codes.items()))


def about_task(snapshot: Snapshot, workload: str, floor: float) -> dict[WarningCode, str]:
    """What an answer about a workload must say, whatever is chosen."""
    codes: dict[WarningCode, str] = {}
    facts = snapshot.workloads.get(workload)
    if facts is None:
        return codes
    if facts.majority_share is not None and floor <= facts.majority_share:
        share = f"{facts.majority_share:.3f} of {workload} is one class"
        codes["floor-below-majority"] = f"{share}: {CAUTIONS['floor-below-majority']}"
    language = facts.language or "mul"
    reference = references().get((facts.task, language, "accuracy"))
    if reference is not None and reference.workload == workload:
        if reference.n_candidates < THIN:
            found = f"{reference.n_candidates} candidates have an accuracy on {workload}"
            codes["reference-thin"] = f"{found}; more would need to be measured to trust the choice"
        if reference.better_known:
            codes["reference-thin"] = (
                f"{workload} answers, as {reference.better_known}, which is better known, has "
                "too few candidates"
            )
    task = tasks().get(facts.task)
    if task is not None and task.usual_tool:
        codes["usual-tool-unmeasured"] = (
            f"{task.usual_tool}: {CAUTIONS['usual-tool-unmeasured']}; it is likely cheaper than "
            f"any encoder; measure it with `{task.usual_tool_command}`"
        )
    return codes


def about_accuracy(snapshot: Snapshot, chosen: Option, floor: float) -> dict[WarningCode, str]:
    """What is doubtful about the accuracy of the chosen option."""
    codes: dict[WarningCode, str] = {}
    if chosen.accuracy and "full-not-measured" in chosen.accuracy.warnings:
        codes["accuracy-full-not-measured"] = CAUTIONS["accuracy-full-not-measured"]
    evidence: dict[str, WarningCode] = {
        "contamination-unknown": "accuracy-contamination-unknown",
        "self-reported": "accuracy-self-reported",
    }
    for name, code in evidence.items():
        if chosen.accuracy and name in chosen.accuracy.warnings:
            codes[code] = CAUTIONS[code]
    facts = snapshot.workloads.get(chosen.workload)
    if facts is not None and chosen.accuracy is not None:
        values = snapshot.accuracies.values(facts.task, facts.language).get(chosen.candidate, {})
        if len(values) > 1 and below_on_most(values, floor):
            below = sum(value < floor for value in values.values())
            said = f"under the floor on {below} of {len(values)} data sets"
            codes["accuracy-low-across-task"] = (
                f"{chosen.candidate} is {said} of the task: check it on your own texts"
            )
    return codes


def _raised(places: Sequence[Place]) -> list[tuple[Offer, Offer]]:
    """Variants that raise energy where they or their plain setups are among the places."""
    found: dict[tuple[int, int], tuple[Offer, Offer]] = {}
    for pool, at in places:
        pairs = pool.dearer
        mine = [(at, pairs[at])] if at in pairs else pool.outdone.get(at, ())
        for variant, plain in mine:
            found[id(pool), variant] = pool.offers[variant], pool.offers[plain]
    return list(found.values())


def _first(place: Place, chosen: Offer | None) -> str:
    """An offer of another group in words, against the chosen one, and how to ask for its group.

    That its energy is less is said where it is, not that it is better: another scenario or data set
    is other work.
    """
    pool, at = place
    offer = pool.offers[at]
    row = offer.row
    accuracy = "" if row.accuracy is None else f" at accuracy {row.accuracy:.3f}"
    less = ""
    if chosen is not None and offer.joules * NOTABLE <= chosen.joules:
        less = f", {figure(chosen.joules / offer.joules)} times less than the chosen option"
        if any(each.energy.basis != "measured" for each in (offer, chosen)):
            less += " by estimate"
    return (
        f"e.g. {row.candidate} on {row.workload}, {SCENARIOS[row.scenario]}, {_origin(offer)}: "
        f"{figure(offer.joules)} J per 1,000 texts{accuracy}{less}; ask for "
        f"workload={row.workload}, scenario={pool.asked.scenario}"
    )


def _origin(offer: Offer) -> str:
    """Whether an offer's joules were measured; of an estimate its interval."""
    energy = offer.energy
    if energy.basis == "measured":
        return "measured"
    word = "extrapolated" if energy.basis == "extrapolated" else "estimated"
    if energy.low is None or energy.high is None:
        return word
    return f"{word} ({figure(energy.low)} – {figure(energy.high)})"
