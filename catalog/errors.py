"""The errors of the catalog, one for each decision a caller can take."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CHECKOUT = (Path(__file__).resolve().parents[1] / "pyproject.toml").is_file()


def install_command(extra: str) -> str:
    """The command that installs an extra such as ``calibration``; of a checkout, to run in it."""
    if _CHECKOUT:
        return f".venv/bin/pip install -c constraints.txt -e '.[{extra}]'"
    return f"pip install 'joulewise[{extra}]'"


class UnknownNameError(LookupError):
    """An unknown name of a record; lists the nearest known names.

    Attributes:
        kind: What was asked for, e.g. ``"task"``.
        name: The name that came.
        known: All names that exist, sorted.
        nearest: At most five of them that resemble `name`, best first.
        remedy: What else the caller can do.

    Args:
        first: Names that stand before those that resemble it.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        *,
        first: Iterable[str] = (),
        remedy: str | None = None,
    ) -> None:
        self.kind, self.name, self.known = kind, name, sorted(set(known))
        self.remedy = remedy
        folded = {known_name.casefold(): known_name for known_name in self.known}
        close = difflib.get_close_matches(name.casefold(), folded, n=5, cutoff=0.5)
        holding = [known for fold, known in sorted(folded.items()) if name.casefold() in fold]
        same = [folded[match] for match in close]
        self.nearest = list(dict.fromkeys([*first, *same, *holding]))[:5] if name else []
        offer = self.nearest or self.known[:20]
        more = "" if len(offer) >= len(self.known) else f" ({len(self.known)} in all)"
        hint = "did you mean" if self.nearest else "known"
        said = f"unknown {kind} {name!r}; {hint}: {', '.join(offer) or 'none'}{more}"
        super().__init__(f"{said}; {remedy}" if remedy else said)


class AmbiguousNameError(UnknownNameError):
    """A name that may mean several records; `known` and `nearest` are those."""

    def __init__(self, kind: str, name: str, matches: Iterable[str]) -> None:
        super().__init__(kind, name, matches)
        self.nearest = self.known
        choice = f"{kind} {name!r} may mean any of {len(self.known)}; name one: "
        self.args = (choice + ", ".join(self.known),)


class UnsettledInstanceError(UnknownNameError):
    """A cloud instance type whose hardware is not known; `nearest` is what it may have."""

    def __init__(self, name: str, why: str, possible: Iterable[str], remedy: str) -> None:
        super().__init__("device", name, possible, first=possible)
        self.args = (f"instance type {name!r}: {why}; {remedy}",)


class ImplausibleSpecError(ValueError):
    """A spec that no device of its kind can have.

    Attributes:
        field: The parameter; `came` is its value and `allowed` says the range and where it is from.
    """

    def __init__(self, field: str, came: float, allowed: str) -> None:
        self.field, self.came, self.allowed = field, came, allowed
        super().__init__(f"{field}: {came:g} is not plausible; {allowed}")


@dataclass(frozen=True)
class Problem:
    """One fault of a run file: where it is and what is allowed there.

    `row` counts data rows from 1 (the header is not one); ``None`` means the whole file.
    """

    row: int | None
    column: str | None
    message: str

    def __str__(self) -> str:
        where = " ".join(
            part
            for part in (
                f"row {self.row}" if self.row is not None else "",
                f"column {self.column!r}" if self.column else "",
            )
            if part
        )
        return f"{where}: {self.message}" if where else self.message


class BadRunFileError(ValueError):
    """A run file that breaks the schema; nothing of it was stored.

    Attributes:
        name: The file's name.
        problems: Every fault found, in file order.
    """

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        self.name, self.problems = name, list(problems)
        shown = "\n".join(f"  {problem}" for problem in self.problems[:50])
        more = len(self.problems) - 50
        tail = f"\n  ... and {more} more" if more > 0 else ""
        super().__init__(f"{name}: {len(self.problems)} problem(s), nothing stored\n{shown}{tail}")


class ConflictError(ValueError):
    """A row or a declaration that is already in the catalog with other content."""


class CatalogUnreadableError(RuntimeError):
    """The catalog's database cannot be opened, read or migrated; the text says the remedy."""
