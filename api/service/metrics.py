"""Metrics for Prometheus: requests by route, and what is being served.

Labels are method, route template and status, so their number is bounded whatever is asked. The
middleware of `litestar.plugins.prometheus` is not used: its registry is the process's own, and it
sees no request that matches no route. With several workers each of them writes into the folder
``PROMETHEUS_MULTIPROC_DIR``, and one answers for all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Serving:
    """What is being served.

    Attributes:
        rows: Measurements by what they are: ``current`` or ``superseded``.
        loaded_at: Seconds since 1970 at which the catalog's content was read.
    """

    def __init__(self, digest: str, estimator: str, rows: dict[str, int], loaded_at: float) -> None:
        self.digest, self.estimator = digest, estimator
        self.rows, self.loaded_at = rows, loaded_at


class _Catalog(Collector):
    """Reads `Serving` when it is scraped."""

    def __init__(self, serving: Callable[[], Serving | None]) -> None:
        self._serving = serving

    def describe(self) -> list[Metric]:
        """Nothing is read before a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures of now; none before a catalog is loaded."""
        now = self._serving()
        if now is None:
            return
        info = InfoMetricFamily("joulewise_serving", "What answers are made from.")
        info.add_metric([], {"catalog_digest": now.digest, "estimator_version": now.estimator})
        yield info
        rows = GaugeMetricFamily(
            "joulewise_catalog_rows", "Measurements in the catalog.", labels=["state"]
        )
        for state, count in now.rows.items():
            rows.add_metric([state], count)
        yield rows
        age = time.time() - now.loaded_at
        yield GaugeMetricFamily(
            "joulewise_catalog_age_seconds", "Time since this content was read.", value=age
        )


class Metrics:
    """Counts requests and writes everything out.

    Args:
        serving: Tells what is being served; ``None`` before anything is.
    """

    def __init__(self, serving: Callable[[], Serving | None]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "joulewise_request_seconds",
            "Time from a request to the end of its answer.",
            ["method", "route", "status"],
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._faults = Counter(
            "joulewise_faults", "Answers of status 500 and above.", registry=self._registry
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}
        self._catalog = _Catalog(serving)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        key = (method if method in _METHODS else "other", route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._requests.labels(key[0], route, str(status))
        child.observe(seconds)
        if status >= 500:
            self._faults.inc()

    def text(self) -> bytes:
        """All figures in the text format, those of the other workers included."""
        registry = CollectorRegistry()
        if os.environ.get(FOLDER):
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            registry = self._registry
        return generate_latest(registry) + generate_latest(_only(self._catalog))


def _only(collector: Collector) -> CollectorRegistry:
    """A registry of one collector."""
    registry = CollectorRegistry()
    registry.register(collector)
    return registry
