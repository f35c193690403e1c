"""What an endpoint counts, as Prometheus text, and how to read it back."""

from __future__ import annotations

import os
import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram in seconds."""


class Meter:
    """Counts of one server process; used by its event loop only."""

    def __init__(self, model: str, version: int) -> None:
        self._info = f'model="{_escaped(model)}",version="{version}"'
        self._started = time.time()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self.n_predictions = 0
        self.n_in_flight = 0

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; only ``/invocations`` enters the histogram."""
        self._requests[route, status] += 1
        if route == "/invocations":
            self._buckets[bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds

    def render(self) -> str:
        """Return everything in Prometheus' text format 0.0.4."""
        lines = [
            *_head("paceml_model_info", "gauge", "The model version that is served."),
            f"paceml_model_info{{{self._info}}} 1",
            *_head("paceml_requests_total", "counter", "Answered requests by route and status."),
            *(
                f'paceml_requests_total{{route="{route}",status="{status}"}} {n}'
                for (route, status), n in sorted(self._requests.items())
            ),
            *self._histogram(),
            *_head("paceml_predictions_total", "counter", "Rows predicted and durably logged."),
            f"paceml_predictions_total {self.n_predictions}",
            *_head("paceml_requests_in_flight", "gauge", "Requests being answered now."),
            f"paceml_requests_in_flight {self.n_in_flight}",
            *_head("paceml_uptime_seconds", "gauge", "Seconds since the server started."),
            f"paceml_uptime_seconds {time.time() - self._started:.3f}",
            *_head("process_start_time_seconds", "gauge", "Start time since the Unix epoch."),
            f"process_start_time_seconds {self._started:.3f}",
            *_head("process_cpu_seconds_total", "counter", "User and system CPU time."),
            f"process_cpu_seconds_total {sum(os.times()[:2]):.3f}",
        ]
        return "\n".join(lines) + "\n"

    def _histogram(self) -> list[str]:
        name = "paceml_request_duration_seconds"
        lines = _head(name, "histogram", "Time from the request's headers to its answer.")
        total = 0
        for bound, n in zip((*map(str, BUCKETS), "+Inf"), self._buckets, strict=True):
            total += n
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self._seconds:.6f}", f"{name}_count {total}"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the metrics of an endpoint say; latencies in milliseconds, None without requests."""

    n_requests: int
    n_errors: int
    n_predictions: int
    n_in_flight: int
    uptime_seconds: float
    p50_ms: float | None
    p99_ms: float | None


_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_STATUS = re.compile(r'status="(\d+)"')
_BOUND = re.compile(r'le="([^"]+)"')


def read(text: str) -> Numbers:
    """Return the numbers in what :meth:`Meter.render` wrote."""
    plain: dict[str, float] = {}
    statuses: Counter[int] = Counter()
    buckets: dict[float, int] = {}
    for name, labels, value in _SAMPLE.findall(text):
        if name == "paceml_requests_total":
            statuses[int(_STATUS.findall(labels)[0])] += int(value)
        elif name.endswith("_bucket"):
            buckets[float(_BOUND.findall(labels)[0])] = int(value)
        elif not labels:
            plain[name] = float(value)
    return Numbers(
        n_requests=statuses.total(),
        n_errors=sum(n for status, n in statuses.items() if status >= 500),
        n_predictions=int(plain["paceml_predictions_total"]),
        n_in_flight=int(plain["paceml_requests_in_flight"]),
        uptime_seconds=plain["paceml_uptime_seconds"],
        p50_ms=_quantile(buckets, 0.5),
        p99_ms=_quantile(buckets, 0.99),
    )


def _quantile(buckets: Mapping[float, int], q: float) -> float | None:
    """Return a quantile in milliseconds, linear inside its bucket as Prometheus' own is."""
    total = max(buckets.values(), default=0)
    if total == 0:
        return None
    rank, below, lower = q * total, 0, 0.0
    for bound, n in sorted(buckets.items()):
        if n >= rank:
            if bound == float("inf"):
                return lower * 1000
            return (lower + (bound - lower) * (rank - below) / (n - below)) * 1000
        below, lower = n, bound
    return lower * 1000


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
