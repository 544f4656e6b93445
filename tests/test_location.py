"""Tests of `catalog.store.location`: where nothing was stored, nothing is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.store.database import Store
from catalog.store.location import default_url, is_absent


def test_a_missing_file_is_absent_until_a_store_makes_it(tmp_path: Path) -> None:
    """Plainly absent is what `Store` finds absent too."""
    url = f"sqlite:///{tmp_path / 'c.sqlite'}"
    assert is_absent(url)
    assert not Store(url).is_there()
    Store(url).migrate()
    assert not is_absent(url)


def test_nothing_named_means_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SQLite in the user's data directory."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert is_absent(None)
    Path(Store().url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    Store().migrate()
    assert not is_absent(None)
    assert Store().url == default_url()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@host/name",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=ro&uri=true",
        "sqlite:////no/where.sqlite?timeout=5",
        "nonsense",
    ],
)
def test_what_is_not_plain_is_opened(url: str) -> None:
    """A fault in it is for the store to tell."""
    assert not is_absent(url)
