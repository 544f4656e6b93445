"""Rate limit per client: addresses and proxies in, middleware that answers 429 out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from litestar import Request
from litestar.middleware.base import DefineMiddleware
from litestar.middleware.rate_limit import RateLimitConfig

from api.service.settings import DurationUnit

Network = IPv4Network | IPv6Network
UNLIMITED = "unlimited"
"""Key in `opt` of handlers without a limit."""


def _trusted(text: str, proxies: Sequence[Network]) -> bool:
    """Whether a text is the address of a trusted proxy."""
    try:
        return any(ip_address(text) in network for network in proxies)
    except ValueError:
        return False


def client_of(peer: str, forwarded: Sequence[str], proxies: Sequence[Network]) -> str:
    """Address of the client behind trusted proxies.

    Args:
        peer: Address of the connection.
        forwarded: Values of ``X-Forwarded-For``; each proxy appends its own peer.
        proxies: Trusted networks; entries that others wrote are ignored.
    """
    chain = [part.strip() for value in forwarded for part in value.split(",")]
    client = peer
    while chain and _trusted(client, proxies):
        client = chain.pop()
    return client or peer


def limiter(rate: tuple[DurationUnit, int], proxies: Sequence[Network]) -> DefineMiddleware:
    """Middleware that answers 429 to a client above the rate.

    Args:
        rate: Unit of time and number of requests in it.
        proxies: See `client_of`.
    """

    def identify(request: Request[Any, Any, Any], proxies: Sequence[Network]) -> str:
        peer = request.client.host if request.client else ""
        return client_of(peer, request.headers.getall("x-forwarded-for", []), proxies)

    return RateLimitConfig(
        rate_limit=rate,
        identifier_for_request=functools.partial(identify, proxies=proxies),
        exclude_opt_key=UNLIMITED,
    ).middleware
