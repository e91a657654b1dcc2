"""What the benchmark prints and stores, and when it treats two servers as alike."""

import json

import pytest

from benchmarks.beside_stock import report
from benchmarks.beside_stock.figures import Pairs
from benchmarks.beside_stock.harness import Measurement, differences
from benchmarks.beside_stock.rows import ROWS, Row, wrong_key
from benchmarks.checks.registry import Finding


def measured(name="a call", promise=1.2, ratio=1.0, tries=1, queries=(3, 3)):
    pairs = Pairs((0.002,) * 20, (0.002 * ratio,) * 20)
    row = Row(name, call=None, promise=promise, pairs=20)
    queries_of = {"stock": [1, 1], "ours": list(queries)}
    return report.summary(
        Measurement(row, (pairs,) * tries, queries_of, {"stock": 0.05, "ours": 0.1}, load=0.5)
    )


def alike():
    """Settings of two servers that differ only in the add-on and in what they cannot share."""
    stock = {
        "odoo.conf": {"db_name": "a", "http_port": "1", "workers": "0", "addons_path": "/odoo"},
        "PostgreSQL": {"fsync": "on"},
        "modules": {"mail": "19.0.1.0"},
    }
    ours = {
        "odoo.conf": {
            **stock["odoo.conf"],
            **{"db_name": "b", "http_port": "2", "addons_path": "/odoo,/x/.dev/addons"},
        },
        "PostgreSQL": {"fsync": "on"},
        "modules": {"mail": "19.0.1.0", "auth_integration": "19.0.1.0.0"},
    }
    return stock, ours


def test_a_summary_has_everything_and_can_be_stored():
    figures = measured(ratio=1.5, queries=(3, 9, 3))
    assert json.loads(json.dumps(figures)) == figures
    assert figures["stock"]["median_ms"] == pytest.approx(2)
    assert figures["ours"]["p95_ms"] == pytest.approx(3)
    assert (figures["ours"]["queries"], figures["ours"]["queries_most"]) == (3, 9)
    assert figures["ours"]["cpu_ms"] == pytest.approx(5)
    assert figures["ratio"] == pytest.approx(1.5)
    assert (figures["verdict"], figures["clear"], figures["pairs"]) == ("missed", True, 20)


def test_the_table_has_aligned_columns_and_names_the_promise():
    lines = report.table([report.cells(measured("short")), report.cells(measured("long " * 5))])
    assert len({line.index("kept") for line in lines[1:]}) == 1
    assert "≤ 1.20" in lines[1]
    assert lines[0].split()[:2] == ["stock", "ms"]


def test_a_missed_promise_is_a_line_of_its_own():
    results = [measured("good"), measured("bad", ratio=1.3), measured("free", promise=None)]
    assert report.missed(results) == ["missed: bad: 1.300, promised ≤ 1.20"]


def test_a_check_says_what_it_found_and_what_was_promised():
    found = [Finding("rows", 12.0, "", 10), Finding("bytes", 3.0, "B"), Finding("ms", 1.0, "ms", 5)]
    lines = report.findings(found)
    assert [line.split()[-1] for line in lines] == ["missed", "B", "kept"]
    assert report.missed_findings(found) == ["missed: rows: 12.0, promised ≤ 10"]


def test_every_try_is_reported():
    assert report.tries(measured(tries=1)) == []
    (line,) = report.tries(measured(tries=3))
    assert line.count("1.000 (1.000 – 1.000)") == 3


def test_servers_alike_but_for_the_addon():
    assert differences(*alike()) == []


@pytest.mark.parametrize(
    "topic, name, value",
    [
        ("odoo.conf", "workers", "2"),
        ("odoo.conf", "log_level", "debug"),
        ("odoo.conf", "addons_path", "/odoo,/x/.dev/addons,/more"),
        ("PostgreSQL", "fsync", "off"),
        ("modules", "sale", "19.0.1.0"),
    ],
)
def test_any_other_difference_is_named(topic, name, value):
    stock, ours = alike()
    ours[topic][name] = value
    (line,) = differences(stock, ours)
    assert line.startswith(f"{topic}: {name}:")


def test_rows_have_names_of_their_own():
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_wrong_key_has_the_shape_of_a_key_and_never_repeats():
    keys = [wrong_key(number) for number in range(100)]
    assert len(set(keys)) == 100
    assert {len(key) for key in keys} == {40}
    assert wrong_key(1, prefix="0123abcd").startswith("0123abcd")
    assert len(wrong_key(1, prefix="0123abcd")) == 40
    assert int(wrong_key(5), 16)
