"""An answer of `joulewise recommend` for people: the losers first, the answer itself last."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from advisor.recommend.records import Caution, Option, Recommendation, WarningCode
from advisor.report.records import Noted
from api.cli.terminal import print_table
from api.pages import at_rate, wording

LIMIT = 20
"""Entries of an answer's lists unless asked for more."""
_OWN_TEXTS = "measure it on texts of yours: joulewise calibrate --workload YOURS"
_MEASURE = "joulewise calibrate on that machine measures it"
_NEWER = "joulewise calibrate --again on that machine"
_IN_A_PLAN = "state {} in the plan of joulewise report"
MENDS: dict[WarningCode, str] = {
    "accuracy-contaminated": _OWN_TEXTS,
    "accuracy-contamination-unknown": _OWN_TEXTS,
    "accuracy-estimated": "joulewise calibrate with the first command under `measure` above",
    "accuracy-full-not-measured": "--labels few asks for what was measured; or " + _OWN_TEXTS,
    "accuracy-interval-absent": "--metric accuracy",
    "accuracy-low-across-task": "--workload with the data set most like yours; or " + _OWN_TEXTS,
    "accuracy-other-language": _OWN_TEXTS,
    "accuracy-self-reported": "--accuracy-basis measured; or " + _OWN_TEXTS,
    "accuracy-suspect": _OWN_TEXTS,
    "batches-assumed": "--scenario single, or joulewise calibrate --rate on that machine",
    "device-assumed": "--device with the whole name; joulewise devices lists them",
    "device-not-calibrated": "joulewise calibrate --probes on that machine",
    "device-specs-assumed": "--device-kind, --tdp-w, --peak-fp32-tflops ... in place of --device",
    "devices-unstated": _MEASURE,
    "energy-bound": _MEASURE,
    "energy-converted": "--batch-size, --precision and --scope as measured, or " + _MEASURE,
    "energy-extrapolated": _MEASURE,
    "energy-mixed": _MEASURE,
    "floor-below-majority": "a higher --min-acc",
    "host-assumed": "--device with a cloud instance, which has its own host; or --scope device",
    "idle-assumed": "joulewise calibrate on that machine reads them",
    "idle-devices-counted": _MEASURE,
    "instance-hardware": "--scope device leaves the host out",
    "other-load": _NEWER,
    "out-of-range": _MEASURE,
    "peak-above-capacity": _IN_A_PLAN.format("more machines"),
    "rate-assumed": "--rate with your texts per second",
    "runtime-stated": "--candidate with the one you timed",
    "rate-near-capacity": "a lower --rate, or another --device",
    "rate-worked-out": "joulewise calibrate --rate on that machine",
    "reference-machine": "--device with yours (joulewise devices lists them) or JOULEWISE_DEVICE",
    "reference-thin": "--workload with another data set; joulewise workloads lists them",
    "scenario-unstated": _MEASURE,
    "second-opinion-differs": "joulewise doctor says which counter would settle it",
    "server-rate-differs": _IN_A_PLAN.format("rate"),
    "setup-assumed": "--params, --batch-size, --tokens, --precision",
    "splits-differ": "--accuracy-basis measured",
    "spread-unstated": _MEASURE,
    "stale-measurement": _NEWER,
    "startup-in-window": _MEASURE,
    "test-sets-differ": _OWN_TEXTS,
    "tie": "joulewise probes names what to measure to settle it",
    "training-estimated": _IN_A_PLAN.format("training_kwh"),
    "training-missing": _IN_A_PLAN.format("training_kwh"),
    "unstable": _NEWER,
    "usual-tool-unmeasured": _OWN_TEXTS,
    "variant-raises-energy": "--precision or --batch-size of the cheaper one",
}
"""What mends a warning, by code: an option of the command, or another command."""


def print_warnings(warnings: Sequence[Caution | Noted]) -> None:
    """Prints each warning with its code and, below, what mends it."""
    console = Console()
    for warning in warnings:
        console.print(
            f"[yellow]note[/] {escape(warning.message)} [dim]({warning.code})[/]", highlight=False
        )
        if mend := MENDS.get(warning.code):
            console.print(Text(f"  mend: {mend}", "green"))


def print_answer(answer: Recommendation, whole: Recommendation | None = None) -> None:
    """Prints an answer: why others lost, warnings, what to measure, the ranking, a sentence.

    Args:
        answer: To the question.
        whole: The same without a limit, to count losers by reason; without it they are listed.
    """
    if whole is not None:
        _print_reasons(answer, whole)
    elif answer.rejected:
        print_table(
            "Why the others lost",
            ("candidate", "reason", "in figures"),
            (
                (each.candidate, wording.reason(each.reason), each.detail)
                for each in answer.rejected
            ),
            under=("reason", "in figures"),
        )
        if answer.rejected_more:
            typer.echo(f"... and {answer.rejected_more} more; a higher --limit lists them")
    print_warnings(answer.warnings)
    _print_paired(answer)
    _print_further(answer)
    if answer.chosen is None:
        _print_nothing(answer)
    else:
        _print_ranking(answer, answer.chosen)


def _print_reasons(answer: Recommendation, whole: Recommendation) -> None:
    """Prints how many candidates lost for each reason, each with the first as an example."""
    groups = [
        (len(group), f"{wording.reason(code)}: {group[0].candidate}, {group[0].detail}")
        for code, group in wording.by_reason(whole.rejected)
    ]
    shown = {option.candidate for option in (answer.chosen, *answer.alternatives) if option}
    dearer = [option for option in whole.alternatives if option.candidate not in shown]
    if dearer:
        least = f"{dearer[0].candidate}, {wording.joules(dearer[0].energy_j_per_1000)} J"
        groups.append((len(dearer), f"{wording.reason('more-energy')}: {least}"))
    if groups:
        print_table(
            f"Why {sum(n for n, _ in groups)} others lost; --limit 200 lists them",
            ("", "reason and an example"),
            [(f"{n}", said) for n, said in sorted(groups, key=lambda group: -group[0])],
            right=("",),
        )


def _print_further(answer: Recommendation) -> None:
    """Prints what the accuracies as they are would choose, other ways to serve, what to measure."""
    console = Console()
    if hint := at_rate.to_measure(answer):
        console.print(f"[bold green]at a rate[/] {escape(hint)}")
    if (other := answer.chosen_by_point) is not None:
        value = wording.accuracy(other.accuracy.value if other.accuracy else None)
        joules = wording.joules(other.energy_j_per_1000)
        console.print(
            f"[bold green]by point value[/] {escape(other.candidate)}: accuracy {value} without "
            f"regard to its interval, {joules} J (--confidence 0)"
        )
    for each in answer.variants[:3]:
        served = [f"--backend {each.backend}"] * bool(each.backend)
        served += [f"--precision {each.precision}"] * bool(each.precision)
        unfit = "" if each.qualifies else ", does not qualify"
        console.print(
            f"[green]variant[/] × {wording.number(each.factor.value)} of its energy "
            f"({wording.number(each.factor.low)} – {wording.number(each.factor.high)}) with "
            f"{escape(' '.join(served))}{unfit}"
        )
    for advice in answer.suggestions:
        console.print(f"[green]measure[/] {escape(advice.candidate)}: {escape(advice.reason)}")
        console.print(f"  [dim]{escape(advice.command)}[/]", soft_wrap=True)


def _print_paired(answer: Recommendation) -> None:
    """Prints paired comparisons on the same test items, and cascades that need less energy."""
    for each in answer.comparisons[:3]:
        Console().print(f"[green]item by item[/] {escape(wording.comparison(each))}")
    for cascade in answer.cascades[:3]:
        Console().print(f"[green]cascade[/] {escape(wording.cascade(cascade))}")


def _print_nothing(answer: Recommendation) -> None:
    """Prints that nothing qualifies, and what comes nearest."""
    console, where = Console(), wording.machine(answer.machine)
    if answer.nearest_miss and (miss := answer.nearest_miss.missing):
        near = answer.nearest_miss
        found = f"{near.candidate} on {wording.device_count(near)}, {near.workload}"
        console.print(escape(f"Closest: {found}: {wording.shortfalls(miss)}"))
    console.print(f"[bold red]Nothing qualifies on {answer.group.workload} on {escape(where)}.[/]")


def _print_ranking(answer: Recommendation, chosen: Option) -> None:
    """Prints what qualifies, least energy first, and the chosen one in a sentence."""
    console, group = Console(), answer.group
    ranked, alike = at_rate.folded(answer)
    marks = ["→", *(str(place) for place in range(2, len(ranked) + 1))]
    print_table(
        f"{answer.query.task}: least energy first, on {group.workload} "
        f"{wording.SCENARIO[group.scenario]}, energy of {wording.SCOPE[group.scope]}",
        ("", "candidate", "device", "accuracy", "J per 1,000 texts", "basis and source"),
        (_option_cells(*pair) for pair in zip(marks, ranked, strict=True)),
        under=("device", "basis and source"),
    )
    if alike:
        console.print(f"[dim]... and {escape(at_rate.alike(alike))}; --json has all[/]")
    accuracy, energy = chosen.accuracy, chosen.energy_j_per_1000
    bounds = wording.interval(energy.low, energy.high)
    said = [f"[bold]{escape(chosen.candidate)}[/] needs {wording.joules(energy)} J per 1,000 texts"]
    said.append(f"({', '.join(filter(None, (bounds, wording.ENERGY_KIND[energy.basis])))})")
    if accuracy is not None:
        metric, value = accuracy.metric, wording.accuracy(accuracy.value)
        ends = wording.interval(accuracy.low, accuracy.high) if accuracy.low is not None else ""
        said.append(f"at {metric} {value} ({ends})" if ends else f"at {metric} {value}")
        said += ["(estimated)"] if accuracy.basis == "estimated" else []
    said.append(f"on {escape(wording.machine(answer.machine))}.")
    console.print(" ".join(said), highlight=False)


def _option_cells(mark: str, option: Option) -> tuple[str, ...]:
    """One option as a table row."""
    accuracy, energy = option.accuracy, option.energy_j_per_1000
    shown = wording.accuracy(accuracy.value if accuracy else None)
    if accuracy and accuracy.low is not None:
        shown += f"\n{wording.accuracy(accuracy.low)} – {wording.accuracy(accuracy.high)}"
    shown += "\nestimated" if accuracy and accuracy.basis == "estimated" else ""
    interval = wording.interval(energy.low, energy.high)
    times = f" × {wording.number(option.energy_factor.value)}" if option.energy_factor else ""
    label = f", {energy.label}" if energy.label not in (None, "estimated", "measured") else ""
    origin = f"{wording.ENERGY_KIND[energy.basis]}{label}"
    return (
        mark,
        option.candidate,
        wording.device_count(option),
        shown,
        f"{wording.joules(energy)}{times}\n{interval}".strip(),
        f"{origin}\n{_source_cell(option)}",
    )


def _source_cell(option: Option) -> str:
    """Source of an option's figures, and a tool's modelled joules where there are some."""
    runtime, source = option.runtime_s_per_1000, option.provenance.source
    not_run_here = option.energy_j_per_1000.basis != "measured" and (
        runtime is None or runtime.basis != "measured"
    )
    text = f"accuracy: {source}" if not_run_here else source
    if option.second_opinion_j_per_1000 is not None:
        text += f"\nmodelled: {wording.number(option.second_opinion_j_per_1000)}"
    return text
