"""CSV dialect: the delimiter of a table that should be comma-separated, for an error message."""

from __future__ import annotations

from collections.abc import Sequence

_SAID = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def other_delimiter(columns: Sequence[object]) -> str | None:
    """Why a header that is one cell by commas has no columns; ``None`` of any other header.

    Args:
        columns: Names of the columns as they were read by commas.
    """
    (only, *more) = [str(name) for name in columns] or [""]
    found = max(_SAID, key=only.count)
    if more or found not in only:
        return None
    return (
        f"cells are separated by {_SAID[found]} ({found!r}); commas (',') are needed, with a point "
        "in decimals"
    )
