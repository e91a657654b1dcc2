"""Metrics as text for Prometheus, using its optional Python library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CONTENT_TYPE_TEXT = "text/plain; version=0.0.4; charset=utf-8"
LIBRARY_MISSING = (
    "Metrics need the Python package prometheus-client on the Odoo server. Install it with"
    " 'pip install prometheus-client' or 'apt install python3-prometheus-client', and restart Odoo."
)


class LibraryMissingError(Exception):
    """The library is not installed; the message says what to do."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    :ivar name: without the suffix ``_total`` of a counter
    :ivar kind: ``counter`` or ``gauge``
    :ivar labels: names of the labels
    :ivar samples: sample values, by the values of the labels
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    samples: dict[tuple[str, ...], float]


class _Collector:
    """A collector, as the library expects it, for metrics that were computed before."""

    def __init__(self, families):
        self._families = families

    def collect(self):
        return self._families


def has_library() -> bool:
    """Whether the library is installed."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        return False
    return True


def exposition(metrics: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """Return metrics as text, and its content type.

    :param accept: the ``Accept`` header; OpenMetrics is used if it is requested there
    :raise LibraryMissingError: the library is not installed
    """
    try:
        from prometheus_client import exposition as plain
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
        from prometheus_client.openmetrics import exposition as openmetrics
    except ImportError as error:
        raise LibraryMissingError(LIBRARY_MISSING) from error
    classes = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
    families = []
    for metric in metrics:
        family = classes[metric.kind](metric.name, metric.help, labels=metric.labels)
        for values, value in metric.samples.items():
            family.add_metric(values, value)
        families.append(family)
    wanted = {each.partition(";")[0].strip().lower() for each in accept.split(",")}
    if "application/openmetrics-text" in wanted:
        text = openmetrics.generate_latest(_Collector(families))
        return text, openmetrics.CONTENT_TYPE_LATEST
    return plain.generate_latest(_Collector(families)), CONTENT_TYPE_TEXT
