"""What people type for a device: names are found without regard to case, spaces, hyphens or maker.

Only what can mean one device alone is taken for it; what may mean several is refused with all of
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from catalog.errors import AmbiguousNameError, UnknownNameError

MAKERS = frozenset(
    ["nvidia", "geforce", "tesla", "amd", "intel", "apple", "qualcomm", "aws", "r", "tm"]
)
"""Words of a name that people leave out."""
_MODEL = re.compile(r"(?!(?:sxm|hbm|v)\d\w?$)[a-z]+\d|\d{4,}[a-z]|\d[a-z]\d")
"""Words that may tell a model: ``h100``, ``13900k``, ``7r13``; not ``80gb``, ``sxm5``."""


def words(name: str) -> list[str]:
    """The words of a name in lower case, those of its maker left out."""
    return [word for word in re.findall(r"[a-z0-9+]+", name.casefold()) if word not in MAKERS]


def _spelt(name: str) -> str:
    """A name without case, spaces, hyphens and maker."""
    return "".join(words(name))


def _has(word: str, own: set[str]) -> bool:
    """Whether a word is one of a device's; ``sxm`` is any of its generations."""
    return word in own or (word == "sxm" and any(each.startswith(word) for each in own))


def meant(kind: str, asked: str, spellings: Mapping[str, Iterable[str]]) -> str:
    """The name that is meant: the one written so, else the only one that has all these words.

    Words are whole ones: an i9-13900 is no i9-13900K. One of them is a model's, such as ``h100``,
    unless a name or another spelling is written out. Other spellings may stand for less than they
    say (NVML calls one of the H100s just that), so they are held against all names.

    Args:
        kind: What is asked for, for the error.
        asked: What was typed.
        spellings: Name -> its other spellings.

    Raises:
        AmbiguousNameError: Several may be meant; names them.
        UnknownNameError: None is; names the nearest ones.
    """
    typed, folded = words(asked), _spelt(asked)
    if not folded:
        raise UnknownNameError(kind, asked, spellings)
    found = sorted(name for name in spellings if _spelt(name) == folded)
    if not found:
        tells = any(_MODEL.match(word) for word in typed)
        for name, others in spellings.items():
            ways = (name, *others)
            own = {word for way in ways for word in words(way)}
            whole = any(_spelt(way) == folded for way in ways)
            if whole or (tells and all(_has(word, own) for word in typed)):
                found.append(name)
    if len(found) > 1:
        raise AmbiguousNameError(kind, asked, found)
    if not found:
        raise UnknownNameError(kind, asked, spellings)
    return found[0]
