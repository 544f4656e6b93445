"""The decision: which option meets the floor for the least energy, and why the others lost.

Ranking happens inside one comparability group (workload, scenario, scope). Within it, raising
the accuracy floor never lowers the chosen energy: the qualifying set only shrinks. A published
bound ranks at its high end.
"""

from __future__ import annotations

from collections.abc import Sequence

from advisor.constraints import judge, ran_there
from advisor.estimator import Estimator
from advisor.options import (
    measured_or_estimated,
    moved,
    one_for_each_setup,
    with_known_accuracy,
)
from advisor.reasons import COUNTS_AS, Judged, absent, nearest, rank, rejected
from advisor.records import (
    BadQuestionError,
    Caution,
    Group,
    Option,
    Query,
    Recommendation,
    WarningCode,
)
from advisor.wording import CAUTIONS, figure
from catalog.errors import UnknownNameError
from catalog.records import Device, Measurement
from catalog.snapshot import Snapshot


def recommend(snapshot: Snapshot, estimator: Estimator, query: Query) -> Recommendation:
    """Answers a question from a snapshot.

    Raises:
        UnknownNameError: Task, workload or device is not in the catalog.
        BadQuestionError: A value is out of its range, or a workload belongs to another task.
    """
    check(query)
    names = _workloads(snapshot, query)
    device = snapshot.device(query.device) if isinstance(query.device, str) else query.device
    judged = {name: _judged(snapshot, estimator, query, name, device) for name in names}
    default = names[0]
    used = default if query.workload is not None else _used(judged, names)
    return _answer(snapshot, estimator, query, judged, default, used)


def _used(judged: dict[str, Judged], names: Sequence[str]) -> str:
    """The first workload where something qualifies, else the first with a known accuracy.

    A device that ran the default workload answers for itself: setups that never ran on it are no
    reason to leave that workload for another one.
    """
    default, *others = names
    own = judged[default]
    calibrated = any(ran_there(option) for option, _ in own.failing)

    def qualifies(name: str) -> bool:
        return any(ran_there(option) or not calibrated for option in judged[name].qualifying)

    def knows_accuracy(name: str) -> bool:
        return any(option.accuracy is not None for option, _ in judged[name].failing)

    if own.qualifying:
        return default
    others = sorted(others, key=lambda name: -_reach(judged[name]))
    fallback = next(filter(qualifies, others), None)
    return fallback or next(filter(knows_accuracy, [default, *others]), default)


def _reach(judged: Judged) -> float:
    """The best accuracy known on a workload: an order of fallbacks that no floor changes."""
    options = [*judged.qualifying, *(option for option, _ in judged.failing)]
    return max((option.accuracy.value for option in options if option.accuracy), default=0.0)


def check(query: Query) -> None:
    """Refuses values out of range.

    Raises:
        BadQuestionError: Names the field, what came and what is allowed.
    """
    if query.rate is not None and query.scenario != "server":
        raise BadQuestionError("rate", query.rate, "allowed with scenario=server only")
    ranges: dict[str, tuple[float, float, str]] = {
        "rate": (1e-6, 1e9, "a number above 0"),
        "min_acc": (0, 1, "a number from 0 to 1"),
        "confidence": (0.5, 0.9999, "a number from 0.5 to 0.9999"),
        "batch_size": (1, 1e6, "a number from 1 to 1000000"),
        "max_latency_ms": (1e-6, 1e9, "a number above 0"),
        "max_memory_gb": (1e-6, 1e9, "a number above 0"),
        "limit": (1, 1000, "a whole number from 1 to 1000"),
    }
    for name, (low, high, allowed) in ranges.items():
        value = getattr(query, name)
        if value is not None and not low <= value <= high:
            raise BadQuestionError(name, value, f"allowed: {allowed}")


def _workloads(snapshot: Snapshot, query: Query) -> list[str]:
    """The workloads that may answer, the preferred one first."""
    tasks = snapshot.tasks()
    if query.task not in tasks:
        raise UnknownNameError("task", query.task, tasks)
    names = list(tasks[query.task])
    if query.workload is not None:
        workload = snapshot.workload(query.workload)
        if workload.task != query.task:
            raise BadQuestionError(
                "workload", query.workload, f"allowed for {query.task}: {', '.join(names)}"
            )
        names = [workload.name, *(name for name in names if name != workload.name)]
    if query.language is not None:
        spoken = [n for n in names if snapshot.workloads[n].language == query.language]
        if not spoken or (query.workload is not None and names[0] not in spoken):
            known = sorted({snapshot.workloads[n].language or "not stated" for n in names})
            raise BadQuestionError(
                "language", query.language, f"allowed for {query.task}: {', '.join(known)}"
            )
        names = spoken
    return names


def _judged(
    snapshot: Snapshot, estimator: Estimator, query: Query, workload: str, device: Device | None
) -> Judged:
    """Builds and judges every option of a workload."""
    found = snapshot.by_workload.get(workload, ())
    rows = with_known_accuracy([row for row in found if row.phase == "inference"])
    wanted = COUNTS_AS[query.scenario]
    inside = [row for row in rows if row.scenario in wanted]
    options = _options(snapshot, estimator, query, inside, device)
    others = [row for row in rows if row.scenario not in wanted]
    apart = _options(snapshot, estimator, query, others, device)
    qualifying, failing = [], []
    for option in options:
        verdict = judge(option, snapshot, query)
        if verdict is None:
            qualifying.append(option)
        else:
            failing.append((option, verdict))
    seen = {option.candidate for option in options}
    return Judged(
        qualifying=sorted(qualifying, key=rank),
        failing=failing,
        apart=sorted(
            (option for option in apart if judge(option, snapshot, query) is None),
            key=lambda option: (option.scenario, *rank(option)),
        ),
        absent=absent(snapshot, query, rows, seen),
    )


def _options(
    snapshot: Snapshot,
    estimator: Estimator,
    query: Query,
    rows: Sequence[Measurement],
    device: Device | None,
) -> list[Option]:
    """Options of `rows`: where they were taken, or all brought to the asked device."""
    if query.batch_size is not None:
        rows = [row for row in rows if row.batch_size == query.batch_size]
    if device is None:
        return one_for_each_setup(measured_or_estimated(rows, snapshot, estimator, query))
    there = [row for row in rows if row.device == device.name]
    options = one_for_each_setup(measured_or_estimated(there, snapshot, estimator, query))
    if query.basis == "measured":
        return options
    has = {option.candidate for option in options}
    elsewhere = [row for row in rows if row.candidate not in has and row.device != device.name]
    return options + moved(elsewhere, device, snapshot, estimator, query)


def front(options: Sequence[Option]) -> list[Option]:
    """Options that no other beats in both accuracy and energy, cheapest first."""
    best, kept = -1.0, []
    for option in sorted(options, key=rank):
        accuracy = option.accuracy.value if option.accuracy else None
        if accuracy is not None and accuracy > best:
            kept.append(option)
            best = accuracy
    return kept


def _overlap(first: Option, second: Option) -> bool:
    """Whether the energy intervals of two options overlap."""
    a, b = first.energy_j_per_1000, second.energy_j_per_1000
    if a.high is None or b.high is None:
        return True
    return (b.low or 0.0) <= a.high and (a.low or 0.0) <= b.high


def _answer(
    snapshot: Snapshot,
    estimator: Estimator,
    query: Query,
    judged: dict[str, Judged],
    default: str,
    used: str,
) -> Recommendation:
    """Puts the judged options of the used workload into an answer."""
    here = judged[used]
    chosen, names = here.qualifying[0] if here.qualifying else None, list(judged)
    apart = list(here.apart)
    for name in names:
        if name != used:
            apart += [*judged[name].qualifying, *judged[name].apart]
    reachable = [o for o, verdict in here.failing if verdict.reason == "accuracy-too-low"]
    return Recommendation(
        query=query,
        group=Group(workload=used, scenario=query.scenario, scope=query.scope),
        chosen=chosen,
        alternatives=tuple(here.qualifying[1 : query.limit + 1]),
        front=tuple(front([*here.qualifying, *reachable])[: query.limit]),
        other_groups=tuple(apart[: query.limit]),
        rejected=rejected(here, chosen, query.limit),
        nearest_miss=None if chosen else nearest(here, apart, query),
        warnings=_cautions(query, here.qualifying, default, used, apart),
        catalog_digest=snapshot.digest,
        estimator_version=estimator.version,
    )


def _cautions(
    query: Query,
    qualifying: Sequence[Option],
    default: str,
    used: str,
    apart: Sequence[Option],
) -> tuple[Caution, ...]:
    """What a reader must know before trusting the answer, by code."""
    codes: dict[WarningCode, str] = {}
    if used != default:
        found = "the answer is about" if qualifying else "the nearest miss is on"
        codes["accuracy-other-workload"] = (
            f"nothing qualifies on {default}; {found} {used}, another data set of the same task: "
            "check its accuracy on your own texts"
        )
    if apart:
        codes["other-groups"] = f"{CAUTIONS['other-groups']}: {_least(apart[0])}"
    if qualifying:
        chosen = qualifying[0]
        codes |= {code: CAUTIONS[code] for code in chosen.warnings}
        low = chosen.accuracy.low if chosen.accuracy else None
        if query.confidence is None and low is not None and low < query.min_acc:
            codes["accuracy-uncertain"] = CAUTIONS["accuracy-uncertain"]
        splits = {o.accuracy.split for o in qualifying if o.accuracy and o.accuracy.split}
        if len(splits) > 1:
            codes["splits-differ"] = CAUTIONS["splits-differ"]
        tied = [
            option.candidate
            for option in qualifying[1:]
            if option.candidate != chosen.candidate and _overlap(chosen, option)
        ]
        if tied:
            named = ", ".join(dict.fromkeys(tied[:5]))
            codes["tie"] = f"the energy intervals of the chosen option and of {named} overlap"
    return tuple(Caution(code=code, message=text) for code, text in sorted(codes.items()))


def _least(option: Option) -> str:
    """An option of another group in words."""
    energy, _, _ = rank(option)
    accuracy = f" at accuracy {option.accuracy.value:.3f}" if option.accuracy else ""
    return (
        f"e.g. {option.candidate} on {option.workload}, measured as {option.scenario}, "
        f"{figure(energy)} J per 1,000 texts{accuracy}"
    )
