"""A workload written from a seed: invented words, four topics, some wrong labels.

It exists so that the suite runs where no data set is; its task ``synthetic`` answers no real
question.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FIXED_LENGTH_PREFIX = "tokens-"
"""Beginning of the names of workloads whose texts all have as many words as the name says."""
REVISION = "1"
"""Grows with every change of the texts."""
_TOPICS = ("amber", "birch", "coral", "dune")
_ROWS = {"train": 2000, "test": 1000}
_SYLLABLES = ("ba", "do", "ki", "lu", "me", "na", "po", "ri", "su", "ta", "ve", "zo")
_TOPIC_WORD_SHARE = 0.18
_WRONG_LABEL_SHARE = 0.05


def _invented_words(rng: random.Random, count: int) -> list[str]:
    """Invented words of two to four syllables."""
    return ["".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4))) for _ in range(count)]


def _sentence(rng: random.Random, own: list[str], shared: list[str]) -> str:
    """A text of 5 to 30 words, few of which tell the topic."""
    length = rng.randint(5, 30)
    return " ".join(
        rng.choice(own if rng.random() < _TOPIC_WORD_SHARE else shared) for _ in range(length)
    )


def rows() -> pd.DataFrame:
    """The texts with columns ``text label split``; the same at every call."""
    import pandas as pd

    rng = random.Random(f"joulewise-synthetic-{REVISION}")  # noqa: S311
    shared = _invented_words(rng, 600)
    own = {topic: _invented_words(rng, 60) for topic in _TOPICS}
    table = []
    for split, count in _ROWS.items():
        for _ in range(count):
            topic = rng.choice(_TOPICS)
            text = _sentence(rng, own[topic], shared)
            label = rng.choice(_TOPICS) if rng.random() < _WRONG_LABEL_SHARE else topic
            table.append((text, label, split))
    return pd.DataFrame(table, columns=["text", "label", "split"])


def fixed_length_rows(words: int) -> pd.DataFrame:
    """Texts of exactly `words` words with labels that mean nothing; the same at every call."""
    import pandas as pd

    rng = random.Random(f"joulewise-tokens-{REVISION}-{words}")  # noqa: S311
    table = [
        (" ".join(f"w{rng.randrange(10_000)}" for _ in range(words)), rng.choice("ab"), split)
        for split, count in (("train", 16), ("test", 512))
        for _ in range(count)
    ]
    return pd.DataFrame(table, columns=["text", "label", "split"])
