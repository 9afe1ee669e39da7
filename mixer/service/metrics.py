"""What Prometheus scrapes: requests, latency, segments, and at the time of the scrape runs, streams and the pool."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Gauges = Iterable[tuple[str, str, list[str], list[tuple[list[str], float]]]]  # name, help, labels, rows


class Metrics:
    """One registry an application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "phasemix_requests", "requests answered", ["route", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "phasemix_request_seconds", "from a request's head to its answer", ["route"], buckets=BUCKETS_S,
            registry=self._registry,
        )  # fmt: skip
        self.segments = Counter("phasemix_segments_written", "entries of segments written", registry=self._registry)

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answer; methods and routes are ones of the contract, or "other"."""
        known = method if method in ("GET", "HEAD", "POST") else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, gauges: Gauges) -> bytes:
        """What is scraped, with gauges as they are now."""
        now = CollectorRegistry()
        now.register(Now(gauges))
        return generate_latest(self._registry) + generate_latest(now)


class Now:
    """Gauges that are read at the time of a scrape."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = list(gauges)

    def collect(self) -> Iterator[Metric]:
        for name, said, labels, rows in self._gauges:
            family = GaugeMetricFamily(name, said, labels=labels)
            for values, number in rows:
                family.add_metric(values, number)
            yield family
