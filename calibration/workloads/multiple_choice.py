"""Multiple-choice tables: questions with options and an answer in, texts and letters out.

A text is the question and its options, one a line, each with its letter; the label is the letter of
the right one (the layout of MMLU, Hendrycks et al. 2021, arXiv:2009.03300).
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from calibration.workloads.errors import WorkloadError

if TYPE_CHECKING:
    import pandas as pd

LETTERS = string.ascii_uppercase
"""Labels of the options, in order; a question has 2 to 26 of them."""
OPTION_COUNT = "options"
"""Column of the number of options in a table made here."""
_OPTION_COLUMNS = ("options", "choices")
_OPTION_LINE = re.compile(r"([A-Z])\. ")


def is_multiple_choice(columns: Sequence[str]) -> bool:
    """Whether a table with these columns holds questions: ``question`` and ``answer``, no text."""
    return {"question", "answer"} <= {*columns} and "text" not in columns


def render(question: str, options: Sequence[str]) -> str:
    """A question and its options as one text, each option on a line of its own."""
    lettered = zip(LETTERS, options, strict=False)
    lines = [f"{letter}. {' '.join(option.split())}" for letter, option in lettered]
    return "\n".join([question.strip(), *lines])


def count_options(text: str) -> int:
    """Number of options of a rendered question."""
    count = 0
    lines = text.split("\n")
    for line in reversed(lines):
        if not _OPTION_LINE.match(line):
            break
        count += 1
        if line.startswith("A. "):
            break
    return count


def to_texts(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Columns ``text``, ``label``, `OPTION_COUNT` and, if there is one, ``split``.

    Args:
        frame: Columns ``question``, ``answer`` (a letter, or a number from 0) and the options: one
            column ``options`` or ``choices`` (lists; in CSV files as JSON), or columns ``a``,
            ``b`` ... of which the last ones may be empty.
        where: Name of the file for messages.

    Raises:
        WorkloadError: A cell is empty or not what it must be; names row and column, never a text.
    """
    import pandas as pd

    rows = []
    for number, row in enumerate(frame.to_dict("records"), 1):
        question = row["question"]
        if not isinstance(question, str) or not question.strip():
            raise WorkloadError(f"{where}: column 'question' is empty in row {number}")
        if not isinstance(row.get("split", "-"), str) or not row.get("split", "-"):
            raise WorkloadError(f"{where}: column 'split' is empty in row {number}")
        options = _options(row, f"{where}: row {number}")
        label = _letter(row["answer"], len(options), f"{where}: row {number}")
        rows.append((render(question, options), label, str(len(options))))
    found = pd.DataFrame(rows, columns=["text", "label", OPTION_COUNT], index=frame.index)
    return found.assign(split=frame["split"].astype(str)) if "split" in frame else found


def _options(row: Mapping[Any, Any], where: str) -> list[str]:
    """The options of one row."""
    column = next((name for name in _OPTION_COLUMNS if name in row), None)
    if column is None:
        given = [row.get(letter.lower(), row.get(letter)) for letter in LETTERS]
        filled = [isinstance(cell, str) and bool(cell.strip()) for cell in given]
        count = filled.index(False) if False in filled else len(filled)
        if any(filled[count:]):
            raise WorkloadError(f"{where}: column {LETTERS[count].lower()!r} is empty")
        return _checked([str(cell) for cell in given[:count]], "options in columns a, b ...", where)
    cell = row[column]
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError as error:
            raise WorkloadError(
                f"{where}: column {column!r} must be a JSON list of texts"
            ) from error
    listed = list(cell) if isinstance(cell, list | tuple) or hasattr(cell, "tolist") else []
    return _checked(listed, f"column {column!r}", where)


def _checked(options: list[Any], column: str, where: str) -> list[str]:
    """The options, if they are 2 to 26 texts that differ."""
    if not 2 <= len(options) <= len(LETTERS):
        raise WorkloadError(f"{where}: {column}: {len(options)} options; allowed: 2 to 26")
    if not all(isinstance(option, str) and option.strip() for option in options):
        raise WorkloadError(f"{where}: {column}: an option is empty or no text")
    if len({" ".join(option.split()) for option in options}) < len(options):
        raise WorkloadError(f"{where}: {column}: two options are equal")
    return options


def _letter(answer: Any, count: int, where: str) -> str:
    """The letter of the right option: of a letter in either case, or of a number from 0."""
    given = str(answer).strip().upper()
    place = int(given) if given.isdecimal() else LETTERS.find(given) if len(given) == 1 else -1
    if not 0 <= place < count:
        raise WorkloadError(
            f"{where}: column 'answer' is none of its options; allowed: A to {LETTERS[count - 1]}, "
            f"or 0 to {count - 1}"
        )
    return LETTERS[place]
