"""The text that Prometheus reads, in both formats, and if the library is missing."""

import sys

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from odoo.addons.auth_integration.tools.monitoring import openmetrics
from odoo.addons.auth_integration.tools.monitoring.openmetrics import Metric, exposition

METRICS = [
    Metric("x_attempts", "counter", "Attempts.", ("cause",), {("a",): 3, ('b"\n',): 2**60}),
    Metric("x_days", "gauge", "Days.", (), {(): 1.5}),
    Metric("x_none", "gauge", "None.", (), {}),
]
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5"


def samples(families):
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@pytest.mark.parametrize(
    "accept, content_type, read",
    [
        (PROMETHEUS, "application/openmetrics-text", parse),
        ("", "text/plain; version=0.0.4", parse_plain),
        ("*/*", "text/plain; version=0.0.4", parse_plain),
        ("application/openmetrics-text;version=\x00é", "application/openmetrics-text", parse),
    ],
)
def test_formats(accept, content_type, read):
    text, found = exposition(METRICS, accept)
    assert found.startswith(content_type)
    assert samples(read(text.decode())) == {
        ("x_attempts_total", "a"): 3, ("x_attempts_total", 'b"\n'): 2**60, ("x_days",): 1.5}


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert not openmetrics.has_library()
    with pytest.raises(openmetrics.LibraryMissingError, match="pip install prometheus-client"):
        exposition(METRICS, "")
