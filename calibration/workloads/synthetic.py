"""Synthetic workloads generated from a seed: invented words, four topics, some wrong labels.

They allow a calibration without any data set; accuracies on their task ``synthetic`` say nothing
about real tasks.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FIXED_LENGTH_PREFIX = "tokens-"
"""Name prefix of workloads with texts of equal length; the number of words follows."""
REVISION = "1"
"""Revision of the generated texts; increase it with every change of them."""
_TOPICS = ("amber", "birch", "coral", "dune")
_ROWS = {"train": 2000, "test": 1000}
_SYLLABLES = ("ba", "do", "ki", "lu", "me", "na", "po", "ri", "su", "ta", "ve", "zo")
_TOPIC_WORD_SHARE = 0.18
_WRONG_LABEL_SHARE = 0.05


def _invented_words(rng: random.Random, count: int) -> list[str]:
    """`count` invented words of two to four syllables."""
    return ["".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4))) for _ in range(count)]


def _sentence(rng: random.Random, own: list[str], shared: list[str]) -> str:
    """A text of 5 to 30 words, a share `_TOPIC_WORD_SHARE` of which belong to its topic."""
    length = rng.randint(5, 30)
    return " ".join(
        rng.choice(own if rng.random() < _TOPIC_WORD_SHARE else shared) for _ in range(length)
    )


def rows() -> pd.DataFrame:
    """Table with columns ``text``, ``label`` and ``split``; identical at every call."""
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
    """Table of texts of exactly `words` words with random labels; identical at every call."""
    import pandas as pd

    rng = random.Random(f"joulewise-tokens-{REVISION}-{words}")  # noqa: S311
    table = [
        (" ".join(f"w{rng.randrange(10_000)}" for _ in range(words)), rng.choice("ab"), split)
        for split, count in (("train", 16), ("test", 512))
        for _ in range(count)
    ]
    return pd.DataFrame(table, columns=["text", "label", "split"])
