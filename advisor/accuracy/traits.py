"""Traits of the atlas's encoders and of a workload, as the accuracy model reads them.

`encoders.csv` holds facts of the models of MTEB's registry (github.com/embeddings-benchmark/mteb at
a905523d0111, Apache-2.0): parameters, release date, architecture, base model, declared languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.records import Candidate, Workload

if TYPE_CHECKING:
    import pandas as pd  # loaded where there is something to estimate

ENCODERS = Path(__file__).parent / "encoders.csv"
FAMILIES = ("frozen-encoder", "static-embedding")
"""Families whose few-shot heads the model learns from."""
_CODES = (
    "am ar be bg bn el fa gu he hi hy ja ka kk km kn ko ky lo mk ml mn mr my ne or pa ru si sr ta "
    "te tg th uk ur yue zh"
)
OTHER_SCRIPTS = frozenset(_CODES.split())
"""Languages that are not written in Latin script, ISO 639-1 where they have such a code."""


def writing(language: str | None) -> str:
    """Class of a language that intervals are calibrated by: ``english``, ``latin`` or ``other``."""
    if language in (None, "en"):
        return "english"
    return "other" if language in OTHER_SCRIPTS else "latin"


def group_of(workload: Workload) -> str:
    """Name of the data sets that share texts with a workload, its own included."""
    return workload.siblings or (workload.dataset or workload.name).rpartition("/")[2]


def traits_of_workload(workload: Workload) -> pd.DataFrame:
    """Traits of a workload, one row; an unstated language counts as English."""
    import pandas as pd

    from advisor.accuracy.observations import workload_traits

    language = workload.language or "en"
    facts = {
        "task": workload.task,
        "language": language,
        "language_code": language,
        "n_classes": workload.n_classes,
        "majority_share": workload.majority_share,
        "mean_text_chars": workload.mean_chars,
        "group": group_of(workload),
    }
    return workload_traits(pd.DataFrame([facts], index=[workload.name]))


def traits_of_candidates(candidates: Mapping[str, Candidate]) -> pd.DataFrame:
    """Traits of those candidates that are a head on an encoder of the table, by name.

    A candidate stands for its encoder: one with a logistic head, trained on whatever texts.
    """
    import pandas as pd

    from advisor.accuracy.observations import candidate_traits

    encoders = pd.read_csv(ENCODERS, keep_default_na=False, na_values=[""])
    by_checkpoint = candidate_traits(encoders)
    heads = {
        name: each.checkpoint
        for name, each in sorted(candidates.items())
        if each.family in FAMILIES
        and each.head == "logistic"
        and each.samples_per_label is None
        and each.checkpoint in by_checkpoint.index
    }
    return by_checkpoint.loc[list(heads.values())].set_axis(pd.Index(list(heads)), axis=0)
