"""Predictions of a candidate for each item of a test set: numbers and class names, never a text.

Two candidates are compared item by item, and cascades are computed, from these. Answers are kept
as a NumPy archive (``.npz``, compressed, no pickles): number of the true class, number of the
predicted class, score.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_ITEMS = 5_000_000
"""Items of one test set; bounds what is unpacked."""


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of one candidate in one precision to a whole test set.

    Attributes:
        run_id: The run they were made in; with `PREDICTION_KEY` it identifies them.
        device: Where they were made; answers depend on it by rounding only.
        workload_revision: Of the workload's record when they were made.
        test_sha256: Hash of the test items in order; equal hashes mean the same items.
        measured_at: ISO 8601 time.
        content: See `pack`.
    """

    run_id: str
    source: str
    workload: str
    candidate: str
    device: str
    precision: str
    split: str = "test"
    workload_revision: str | None = None
    test_sha256: str
    measured_at: str
    content: bytes

    def key(self) -> str:
        """Hash of what identifies them."""
        named = [getattr(self, name) for name in PREDICTION_KEY]
        return hashlib.sha256(msgspec.json.encode(named)).hexdigest()

    def digest(self) -> str:
        """Hash of all they say."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    def answers(self) -> Answers:
        """The items; unpacked once."""
        return unpack(self.content)


PREDICTION_KEY = ("run_id", "source", "workload", "candidate", "device", "precision", "split")
"""What identifies a set of predictions."""


class Answers(NamedTuple):
    """Items in the order of the test set.

    Attributes:
        classes: Names, sorted; `truth` and `predicted` are numbers of them.
        truth: Shape ``(n,)``.
        predicted: Shape ``(n,)``.
        score: How sure the candidate was, 0 to 1, shape ``(n,)``; ``None`` where it cannot say.
            A probability where the model has one; it need not be calibrated.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.uint16]
    predicted: NDArray[np.uint16]
    score: NDArray[np.float32] | None

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which items were answered right."""
        found: NDArray[np.bool_] = self.truth == self.predicted
        return found

    @property
    def accuracy(self) -> float:
        """Share answered right."""
        return float(self.right.mean())


def pack(
    truth: Sequence[str], predicted: Sequence[str], score: Sequence[float] | None = None
) -> bytes:
    """Answers as bytes; equal answers make equal bytes.

    Raises:
        ValueError: Lengths differ, there are no items or too many classes, or a score is not
            from 0 to 1.
    """
    import numpy as np

    lengths = {len(truth), len(predicted), len(truth if score is None else score)}
    if len(lengths) > 1:
        raise ValueError(f"columns of {', '.join(map(str, sorted(lengths)))} items; one length")
    if not 0 < len(truth) <= MOST_ITEMS:
        raise ValueError(f"{len(truth)} items; 1 to {MOST_ITEMS} are allowed")
    classes = sorted({*truth, *predicted})
    if len(classes) > np.iinfo(np.uint16).max:
        raise ValueError(f"{len(classes)} classes; at most 65535 are allowed")
    number = {name: index for index, name in enumerate(classes)}
    columns: dict[str, NDArray[Any]] = {
        "classes": np.array(classes),
        "truth": np.array([number[name] for name in truth], dtype="<u2"),
        "predicted": np.array([number[name] for name in predicted], dtype="<u2"),
    }
    if score is not None:
        sure = np.asarray(score, dtype="<f4")
        if not bool(((sure >= 0) & (sure <= 1)).all()):
            raise ValueError("a score is not from 0 to 1")
        columns["score"] = sure
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **columns)
    return buffer.getvalue()


@functools.lru_cache(maxsize=1024)
def unpack(content: bytes) -> Answers:
    """The answers behind `pack`'s bytes.

    Raises:
        ValueError: They are not such an archive.
    """
    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            columns = {name: found[name] for name in found.files}
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError("predictions cannot be unpacked") from error
    for column in columns.values():
        column.flags.writeable = False
    return Answers(
        tuple(str(name) for name in columns["classes"]),
        columns["truth"],
        columns["predicted"],
        columns.get("score"),
    )


def hash_of_items(texts: Sequence[str], labels: Sequence[str]) -> str:
    """Hash of the items of a test set in order; no text can be read from it."""
    total = hashlib.sha256()
    for text, label in zip(texts, labels, strict=True):
        for part in (text, label):
            data = part.encode("utf-8", "surrogatepass")
            total.update(len(data).to_bytes(8, "little"))
            total.update(data)
    return total.hexdigest()
