"""Prometheus metrics: requests by route, and figures of the catalog in service.

Labels are method, route template and status, so that their number is bounded. The middleware of
`litestar.plugins.prometheus` is not used: it has one registry per process and misses requests that
match no route. With several workers, each writes into the folder ``PROMETHEUS_MULTIPROC_DIR`` and
any of them answers for all.
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


class ServedCatalog:
    """Versions and numbers of rows in service.

    Attributes:
        rows: Number of measurements by state, ``current`` or ``superseded``.
        loaded_at: Time the content was read, seconds since 1970.
    """

    def __init__(self, digest: str, estimator: str, rows: dict[str, int], loaded_at: float) -> None:
        self.digest, self.estimator = digest, estimator
        self.rows, self.loaded_at = rows, loaded_at


class _CatalogCollector(Collector):
    """Collects the metrics of `ServedCatalog` at each scrape."""

    def __init__(self, served: Callable[[], ServedCatalog | None]) -> None:
        self._served = served

    def describe(self) -> list[Metric]:
        """No metrics before a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The current figures; none before a catalog is loaded."""
        now = self._served()
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
    """Counts requests and renders all metrics.

    Args:
        served: Returns the catalog in service; ``None`` before one is loaded.
    """

    def __init__(self, served: Callable[[], ServedCatalog | None]) -> None:
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
        self._catalog = _CatalogCollector(served)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request.

        Args:
            method: HTTP method.
            route: Route template.
            status: HTTP status.
            seconds: From the request to the end of its answer.
        """
        key = (method if method in _METHODS else "other", route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._requests.labels(key[0], route, str(status))
        child.observe(seconds)
        if status >= 500:
            self._faults.inc()

    def text(self) -> bytes:
        """All metrics in the text format, including those of other workers."""
        registry = CollectorRegistry()
        if os.environ.get(FOLDER):
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            registry = self._registry
        catalog = CollectorRegistry()
        catalog.register(self._catalog)
        return generate_latest(registry) + generate_latest(catalog)
