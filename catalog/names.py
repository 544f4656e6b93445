"""What people type for a device: names are found without regard to case, spaces, hyphens or maker.

Only what can mean one device alone is taken for it; what may mean several is refused with all of
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from catalog.errors import AmbiguousNameError, UnknownNameError

MAKERS = frozenset(
    ["nvidia", "geforce", "tesla", "amd", "intel", "apple", "qualcomm", "aws", "r", "tm"]
)
"""Words of a name that people leave out."""


def words(name: str) -> list[str]:
    """The words of a name in lower case, those of its maker left out."""
    return [word for word in re.findall(r"[a-z0-9+]+", name.casefold()) if word not in MAKERS]


def _runs(name: str) -> Iterator[str]:
    """Every run of words of a name, written as one."""
    said = words(name)
    for start in range(len(said)):
        for end in range(start + 1, len(said) + 1):
            yield "".join(said[start:end])


def meant(kind: str, asked: str, spellings: Mapping[str, Iterable[str]]) -> str:
    """The name that is meant: the only one written so, else the only one that holds these words.

    Args:
        kind: What is asked for, for the error.
        asked: What was typed.
        spellings: Name -> its other spellings.

    Raises:
        AmbiguousNameError: Several may be meant; names them.
        UnknownNameError: None is; names the nearest ones.
    """
    folded = "".join(words(asked))
    if not folded:
        raise UnknownNameError(kind, asked, spellings)
    ways = {name: (name, *others) for name, others in spellings.items()}
    levels = (
        (name for name in ways if "".join(words(name)) == folded),
        (name for name, own in ways.items() if folded in {"".join(words(way)) for way in own}),
        (name for name, own in ways.items() if any(folded in _runs(way) for way in own)),
    )
    for level in levels:
        if found := sorted(set(level)):
            if len(found) > 1:
                raise AmbiguousNameError(kind, asked, found)
            return found[0]
    raise UnknownNameError(kind, asked, spellings)
