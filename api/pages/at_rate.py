"""Answers at a request rate for people: what is alike is folded, and how to measure it."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.recommend.option import rank
from advisor.recommend.records import Option, Recommendation
from api.pages import wording as view

ALIKE = 0.1
"""Share by which options of a request rate differ that are shown as one."""


def folded(answer: Recommendation) -> tuple[list[Option], list[Option]]:
    """The ranked options, and apart from them those of a rate that are nearly the chosen one.

    Where joules are worked out for a rate, waiting is most of them, and a list of candidates that
    differ by less than `ALIKE` tells nothing: after the third they are folded.
    """
    chosen = answer.chosen
    ranked = [*([chosen] if chosen else []), *answer.alternatives]
    if chosen is None or "rate-worked-out" not in chosen.warnings:
        return ranked, []
    most = (1 + ALIKE) * rank(chosen)[0]
    alike = [option for option in ranked[3:] if rank(option)[0] <= most]
    return [option for option in ranked if option not in alike], alike


def alike(options: Sequence[Option]) -> str:
    """What folded options have in common, in a sentence."""
    return (
        f"{len(options)} more need within {ALIKE:.0%} of that: the watts of a machine that waits "
        "are in all of them"
    )


def to_measure(answer: Recommendation) -> str:
    """How joules at a request rate are measured where they were not; else empty."""
    if answer.group.scenario != "server":
        return ""
    if answer.chosen is not None and "rate-worked-out" not in answer.chosen.warnings:
        return ""
    rate = view.full_digits(answer.group.rate_per_s)
    return f"`joulewise calibrate --rate {rate}` on the machine measures it"
