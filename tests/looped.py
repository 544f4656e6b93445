"""Loops over cases in one test that report every failure at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import pytest

Case = TypeVar("Case")


def failures(check: Callable[[Case], object], cases: Mapping[str, Case]) -> dict[str, str]:
    """What `check` finds wrong, by the name of the case; every case is tried."""
    assert cases
    found = {}
    for name, case in cases.items():
        try:
            check(case)
        except (Exception, pytest.fail.Exception) as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def named(cases: list[Case]) -> dict[str, Case]:
    """Cases by their text."""
    return {str(case): case for case in cases}
