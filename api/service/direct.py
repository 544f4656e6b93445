"""Answers to `/recommend` past the application's routing, where nothing else has a say in them.

A question costs less than the ways to its handler. Whatever is not plain (a compressed answer, a
strange host, a question with a fault) goes through the application, which finds the same and words
it: what is asked and told is declared there alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from litestar.types import Scope

from api.service.query import read
from api.service.state import ServiceState

PATH = "/recommend"
_PLAIN_HOST = re.compile(rb"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")
Direct = Callable[[Scope], bytes | None]


def nothing(_scope: Scope) -> None:
    """Leaves every request to the application."""


def recommendations(served: ServiceState) -> Direct:
    """What finds the JSON of an answer, or ``None`` where the application has to.

    Args:
        served: What questions are answered from.
    """

    def answer(scope: Scope) -> bytes | None:
        if scope["path"] != PATH or scope.get("method") != "GET" or scope.get("root_path"):
            return None
        if not all(map(_is_plain, scope["headers"])):
            return None
        try:
            return served.now.advisor.encode(read(scope["query_string"]))
        except Exception:  # the application meets it again and makes a problem of it
            return None

    return answer


def _is_plain(header: tuple[bytes, bytes]) -> bool:
    """Whether a header of a request leaves its answer as it is."""
    name, value = header
    if name == b"host":
        return _PLAIN_HOST.fullmatch(value) is not None
    return name != b"accept-encoding" or not (b"gzip" in value or b"br" in value)
