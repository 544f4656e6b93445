"""Warnings of an answer by code: the sentences behind the codes, and figures as people read them.

A warning says what is doubtful, what it does to the number and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence

from advisor.accuracy.estimated import SOURCE
from advisor.recommend.entries import Entry, Key
from advisor.recommend.machine import Machine
from advisor.recommend.records import Option, WarningCode
from catalog.evidence import below_on_most
from catalog.hardware.instances import threads
from catalog.registry.tasks import tasks
from catalog.snapshot import Snapshot

TIED_NAMED = 5
"""Candidates of a tie that are named."""
UNTRAINED = ("lexicon",)
"""Families of ready tools, word lists and fixed n-grams."""
THIN = 20
"""Candidates with an accuracy under which a reference workload says little."""

CAUTIONS: dict[WarningCode, str] = {
    "accuracy-contaminated": "the model may have seen this data set in training; its accuracy "
    "may be too good",
    "accuracy-contamination-unknown": "nothing says whether the model saw this data set in "
    "training; check the accuracy on texts of your own",
    "accuracy-estimated": "the accuracy of the chosen candidate was not measured on these texts: "
    "it follows from what others reach there and may be off by its interval; measure it before use",
    "accuracy-full-not-measured": "the accuracy is of a head on few texts per class; trained on "
    "all labelled texts the same model is usually better",
    "accuracy-interval-absent": "a macro-F1 has no interval of its test size: the floor is held "
    "against the value less its spread over training draws",
    "accuracy-low-across-task": "the chosen candidate is under the floor on most data sets of the "
    "task: check it on your own texts",
    "accuracy-other-language": "no data set of the task is in that language; the accuracy is that "
    "of another language, of candidates that state the asked one",
    "accuracy-self-reported": "only the model's author reports this accuracy; such figures run 1.3 "
    "points higher on average, up to 8: check it on texts of your own",
    "accuracy-suspect": "the source's accuracy looks like a fault of the output format",
    "batches-assumed": "measured in batches: as many texts are assumed to wait for each other, "
    "longer the rarer they come",
    "device-assumed": "the name may mean several devices, or no figure of the device is known; the "
    "message says what was assumed",
    "device-not-calibrated": "no measured energy of this device and scope is in the estimator's "
    "data; one reading of a counter or meter there would narrow the interval",
    "device-specs-assumed": "the device's power is not known: a median of the device table, and "
    "a wider interval for it",
    "devices-unstated": "the source does not say how many such devices worked; read the joules as "
    "those of all of them",
    "energy-bound": "the source prints only an upper bound of the energy; it ranks at that bound",
    "energy-converted": "measured on this machine with another batch, format or scope, and "
    "converted by the estimator; the interval is that of the conversion",
    "energy-extrapolated": "too few devices or publishers measured this kind of work on this kind "
    "of device and backend; measure it there with joulewise calibrate",
    "energy-mixed": "part of the energy was measured, part modelled by the source's tool",
    "floor-below-majority": "always answering the most frequent class of the data set reaches the "
    "floor; ask for more",
    "host-assumed": "the host CPU was not stated; the usual one is priced for what needs no GPU",
    "idle-assumed": "idle watts with the model loaded were not read in this scope: those of the "
    "power model, the same for every candidate on the machine, with a wide interval",
    "idle-devices-counted": "the total counts devices that sat idle beside the one at work; read "
    "it as an upper bound",
    "instance-hardware": "a cloud instance was named: its vCPUs are priced as their share of the "
    "host's CPUs, with the instance's memory; neighbours pay the rest",
    "other-load": "other processes kept more than half a core busy while it was measured "
    "(`context.other_cores`)",
    "out-of-range": "the setup lies outside the data the estimator learned from",
    "peak-above-capacity": "the stated machines cannot keep up with the peak rate; texts will wait",
    "rate-assumed": "no rate was stated; the commonest measured one, else 1 text per second, is "
    "priced; state the rate",
    "rate-near-capacity": "within the interval of its runtime the setup may not keep up with the "
    "asked rate",
    "rate-worked-out": "derived, not measured: energy per text plus idle power of a dedicated "
    "machine; latency is that of the work alone",
    "reference-machine": "no device was named, so every candidate is priced on one machine; name "
    "yours",
    "reference-thin": "fewer than 20 candidates have an accuracy on this data set",
    "runtime-stated": "the stated runtime is yours, not measured here, and of one serving choice; "
    "other backends, formats and batches are estimated",
    "scenario-unstated": "the source does not state batch size or request pattern; the row counts "
    "as offline",
    "second-opinion-differs": "the joules a tool modelled lie outside the estimate's interval",
    "spread-unstated": "the source states no spread of repeats; the interval is that of the "
    "printed figure alone",
    "server-rate-differs": "the joules are of another request rate than each machine is planned "
    "for; the waiting between requests is held at that rate",
    "setup-assumed": "parameters, batch size, tokens or precision were not stated: the estimate is "
    "for what published rows that state none are like; state them",
    "splits-differ": "some accuracies were taken on the dev split, others on the test split",
    "stale-measurement": "the machine has changed since (driver, power limit, governor, protocol, "
    "meter or a library); calibrate it again",
    "startup-in-window": "the measured window holds process start and model load",
    "test-sets-differ": "some candidates were judged on other test items and are not compared "
    "item by item",
    "tie": "the interval of the ratio of two energies holds 1",
    "training-estimated": "the training's joules are estimated: from its runtime, or as a multiple "
    "of the joules per text",
    "training-missing": "neither a training of this candidate on this device nor the number of "
    "training texts is in the catalog, so the training part is missing and the total a lower "
    "bound; state training_kwh",
    "unstable": "repeats differ by more than 5 %, or meters disagree",
    "usual-tool-unmeasured": "what practitioners use for this task has no published accuracy here",
    "variant-raises-energy": "a lower precision or a larger batch was measured to need more energy "
    "than the same candidate without it",
}
"""Every warning code with what it means."""
SCENARIOS = {
    "offline": "in batches",
    "single": "one text at a time",
    "server": "as requests arrive",
    "unstated": "in a way the source does not state",
}
"""How texts come, in words, by scenario."""


def figure(value: float) -> str:
    """A number at three significant digits, without exponents up to a million."""
    if value == 0 or not 1e-4 <= abs(value) < 1e12:
        return f"{value:.3g}"
    digits = f"{value:.3g}"
    return f"{float(digits):,.10g}" if "e" in digits or abs(value) >= 1000 else digits


def about_task(
    snapshot: Snapshot, workload: str, floor: float, n_known: int, better_known: str | None
) -> dict[WarningCode, str]:
    """What an answer about a workload must say, whatever is chosen.

    Args:
        snapshot: The catalog.
        workload: On which candidates were judged.
        floor: Least accuracy.
        n_known: Candidates with evidence on it.
        better_known: A workload that it answers for.
    """
    codes: dict[WarningCode, str] = {}
    facts = snapshot.workloads.get(workload)
    if facts is None:
        return codes
    if facts.majority_share is not None and floor <= facts.majority_share:
        share = f"{facts.majority_share:.3f} of {workload} is one class"
        codes["floor-below-majority"] = f"{share}: {CAUTIONS['floor-below-majority']}"
    if n_known < THIN:
        found = f"{n_known} candidates have an accuracy on {workload}"
        codes["reference-thin"] = f"{found}; more would need to be measured to trust the choice"
    if better_known is not None:
        known = snapshot.accuracies.answers(better_known)
        best = max((each.value for each in known.values()), default=0.0)
        codes["reference-thin"] = (
            f"{workload} answers, as {better_known}, which is better known, has an accuracy of "
            f"{len(known)} candidates only, the best {best:.3f}; ask for it with "
            f"workload={better_known}"
        )
    task = tasks().get(facts.task)
    if task is not None and task.usual_tool and unmeasured(snapshot, workload):
        codes["usual-tool-unmeasured"] = (
            f"{task.usual_tool}: {CAUTIONS['usual-tool-unmeasured']}; it is likely cheaper than "
            f"any encoder; measure it with `{task.usual_tool_command}`"
        )
    return codes


def unmeasured(snapshot: Snapshot, workload: str) -> tuple[str, ...]:
    """Usual candidates of a workload's task that have no accuracy on it.

    Empty where one of the usual tools, which need no training, has one.
    """
    task = tasks().get(snapshot.workloads[workload].task)
    known = snapshot.accuracies.answers(workload)
    names = () if task is None else task.usual_candidates
    found = [snapshot.candidates[name] for name in names if name in snapshot.candidates]
    if any(each.name in known and each.family in UNTRAINED for each in found):
        return ()
    return tuple(each.name for each in found if each.name not in known)


def about_accuracy(snapshot: Snapshot, chosen: Option, floor: float) -> dict[WarningCode, str]:
    """What is doubtful about the accuracy of the chosen option."""
    codes: dict[WarningCode, str] = {}
    if chosen.accuracy and "full-not-measured" in chosen.accuracy.warnings:
        codes["accuracy-full-not-measured"] = CAUTIONS["accuracy-full-not-measured"]
    evidence: dict[str, WarningCode] = {
        "contamination-unknown": "accuracy-contamination-unknown",
        "self-reported": "accuracy-self-reported",
    }
    if chosen.accuracy and chosen.accuracy.source == SOURCE:
        assumed = "language-assumed" in chosen.accuracy.warnings
        also = "; the texts' language is not stated and taken for English" if assumed else ""
        codes["accuracy-estimated"] = CAUTIONS["accuracy-estimated"] + also
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


def about_machine(machine: Machine) -> dict[WarningCode, str]:
    """What an answer must say about its machine."""
    codes: dict[WarningCode, str] = {}
    if machine.basis != "asked":
        words = {
            "setting": "the setting JOULEWISE_DEVICE",
            "calibrated": "the machine that was calibrated last",
            "default": "the default",
        }
        codes["reference-machine"] = (
            f"{CAUTIONS['reference-machine']}: here {machine.device.name} with {machine.host.name} "
            f"({words[machine.basis]})"
        )
    if machine.note:
        code: WarningCode = "instance-hardware" if machine.instance else "device-assumed"
        codes[code] = f"{machine.note}{_share_of(machine)}"
    if machine.host_note:
        codes["host-assumed"] = machine.host_note
    return codes


def _share_of(machine: Machine) -> str:
    """What part of its host an instance is priced with, in words; empty for other machines."""
    if machine.instance is None:
        return ""
    return (
        f"; its vCPUs count as {figure(machine.chips)} x {machine.host.name} with "
        f"{threads(machine.host):g} threads: that much of the rates, idle power, memory and board"
    )


def about_stated(key: Key, entries: Sequence[Entry]) -> str:
    """What the runtime that whoever asks has measured was used for, and what it was not."""
    said = key.stated
    if said is None:
        raise ValueError("no runtime was stated")
    text = f"{figure(1000 * said.seconds)} s per 1,000 texts"
    if said.candidate is None:
        n, refused = sum(map(_is_stated, entries)), len(list(filter(None, map(_refusal, entries))))
        more = f", of {refused} more it is refused: above the device's peak rate" * bool(refused)
        return (
            f"{text} are taken for the usual setup of each of {n} candidates (runtime basis "
            f"stated){more}; they were measured with one: name it in `candidate`"
        )
    own = [each for each in entries if each.candidate.name == said.candidate]
    used = next((each for each in own if _is_stated(each)), None)
    if used is not None:
        choice, size = used.choice, used.batch_size
        batch = f" batch {size:g}" if size else ""
        return (
            f"{text}, as you stated, price {said.candidate} on {used.device.name} with "
            f"{choice.backend} {choice.precision}{batch} alone; nothing else is priced with them"
        )
    why = "what it needs was measured there" if own else "it has no accuracy on this data set"
    why = next(filter(None, map(_refusal, own)), why)
    return f"the stated runtime of {said.candidate} is not used: {why}"


def _is_stated(entry: Entry) -> bool:
    """Whether whoever asks has stated the runtime of an entry."""
    work = entry.served.work if entry.served is not None else entry
    return work.runtime is not None and work.runtime.basis == "stated"


def _refusal(entry: Entry) -> str | None:
    """Why the stated runtime of an entry was refused, if it was."""
    reason, detail = entry.misfit or (None, None)
    return detail if reason == "runtime-implausible" else None


def about_tie(tied: Sequence[tuple[str, bool]]) -> str:
    """Which candidates may need as little as the first one, with whether each was measured."""
    names = [f"{name}{' (measured)' if measured else ''}" for name, measured in tied[1:]]
    more = f" and {len(names) - TIED_NAMED} more" if len(names) > TIED_NAMED else ""
    return (
        f"{', '.join(names[:TIED_NAMED])}{more} may need as little as {tied[0][0]}: "
        f"{CAUTIONS['tie']}; measure them to settle it"
    )
