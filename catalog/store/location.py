"""Location of the catalog's database, found without the libraries that open it."""

from __future__ import annotations

from pathlib import Path

import platformdirs

_SQLITE = "sqlite:///"


def default_url() -> str:
    """SQLite in the user's data directory."""
    return f"{_SQLITE}{platformdirs.user_data_path('joulewise') / 'catalog.sqlite'}"


def is_absent(url: str | None) -> bool:
    """Whether there is plainly no file; a URL that is not plain has to be opened to tell.

    Args:
        url: Database URL; ``None`` is `default_url`.
    """
    url = url or default_url()
    path = url.removeprefix(_SQLITE)
    plain = path != url and path not in ("", ":memory:") and "?" not in path and "%" not in path
    return plain and not path.startswith("file:") and not Path(path).exists()
