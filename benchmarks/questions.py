"""Share of sound answers: 200 questions drawn by seed, asked of the service in this process.

    python benchmarks/questions.py
    python benchmarks/questions.py --seed 1 --n 40
    python benchmarks/questions.py --json

Drawn from all combinations of task, floor, machine, scenario and label budget (`question_cases`),
none dropped; judged by the rules of `soundness`, which were written before the first run. Each is
asked a second time with its floor raised by 0.05. The catalog holds the bundled figures alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from litestar import Litestar
from litestar.testing import TestClient
from question_cases import STEP, Answer, Question, drawn, every_question
from soundness import RULES, unsound

from api.main import create_app
from api.service.settings import Settings
from catalog.store.database import Store

Client = TestClient[Litestar]


class Judged(msgspec.Struct, frozen=True):
    """A question and the reasons against its answer, by rule; none of a sound one.

    Attributes:
        unanswered: Whether nothing was chosen.
    """

    question: Question
    reasons: dict[str, list[str]]
    unanswered: bool = False


@contextmanager
def bundled_service() -> Iterator[Client]:
    """The service on a catalog of its own that holds the bundled figures and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'catalog.sqlite'}")
        store.migrate()
        settings = Settings(catalog=store.url, estimator=None, tokens=(), log_level="warning")
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            yield client
        store.engine.dispose()


def ask(client: Client, question: Question) -> Answer:
    """The answer to a question, and to the same one with a higher floor."""
    raised = round(min(question.min_acc + STEP, 1.0), 4)
    above = _get(client, msgspec.structs.replace(question, min_acc=raised))
    answer = _get(client, question)
    higher = above.body if above.status == 200 else None
    return msgspec.structs.replace(answer, higher=higher)


def _get(client: Client, question: Question) -> Answer:
    """One answer; a body that is no JSON is a refusal with its words."""
    came = client.get(question.url(), headers={"Accept": "application/json"})
    try:
        body = came.json()
    except json.JSONDecodeError:
        body = {"detail": came.text}
    return Answer(status=came.status_code, body=body, n_bytes=len(came.content))


def judge(client: Client, questions: Sequence[Question]) -> list[Judged]:
    """Every question with the reasons against its answer."""
    found = []
    for each in questions:
        answer = ask(client, each)
        found.append(Judged(each, unsound(each, answer), answer.chosen is None))
    return found


def summary(judged: Sequence[Judged], seed: int) -> dict[str, object]:
    """The share sound, failing questions by rule and every reason, as JSON types."""
    failed = [each for each in judged if each.reasons]
    sound = len(judged) - len(failed)
    return {
        "seed": seed,
        "asked": len(judged),
        "sound": sound,
        "share": sound / len(judged) if judged else None,
        "unanswered": sum(each.unanswered for each in judged),
        "rules": {rule: sum(rule in each.reasons for each in failed) for rule in RULES},
        "failures": [{"url": each.question.url(), "reasons": each.reasons} for each in failed],
    }


def show(judged: Sequence[Judged], seed: int) -> None:
    """Prints every failing question with its reasons, failures by rule and the share sound."""
    counts = dict.fromkeys(RULES, 0)
    for each in judged:
        if each.reasons:
            print(each.question.url())
        for rule, reasons in each.reasons.items():
            counts[rule] += 1
            for reason in dict.fromkeys(reasons):
                print(f"  {rule}: {reason}")
    print(f"\n| rule | questions that fail it, of {len(judged)} |\n|---|---|")
    for rule, n in counts.items():
        print(f"| {rule} | {n} |")
    sound = sum(not each.reasons for each in judged)
    unanswered = sum(each.unanswered for each in judged)
    print(f"\n{sound} of {len(judged)} sound, seed {seed}, none dropped")
    if judged:
        print(f"{unanswered} of {len(judged)} without a choice ({unanswered / len(judged):.0%})")


def main() -> None:
    """Asks, judges and prints."""
    every = len(every_question())
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--n", type=int, default=200, help=f"questions, 1 to {every}")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args()
    if not 1 <= given.n <= every:
        parser.error(f"--n: {given.n} is not allowed; 1 to {every}")
    with bundled_service() as client:
        judged = judge(client, drawn(given.seed, given.n))
    if given.json:
        print(json.dumps(summary(judged, given.seed), indent=1))
    else:
        show(judged, given.seed)


if __name__ == "__main__":
    main()
