"""``make bench ROWS=metrics``: a scrape, pages of the export, the findings, the incidents job.

They are measured on the log of ``filled_log``.
"""

from statistics import median

from benchmarks.checks import filled_log
from benchmarks.checks.registry import Finding, check

PROMISE_SCRAPE_MS = 100
PROMISE_PAGE_MS = 150
PROMISE_JOB_MS = 1000
PROMISES = {"metrics": PROMISE_SCRAPE_MS, "incidents": PROMISE_JOB_MS}
# Runs in an Odoo process; `result` is [name, milliseconds of each run].
LOOK = r"""
    import time
    from odoo.addons.auth_integration.tools.monitoring import openmetrics

    metrics, attempts = env["auth.integration.metrics"], env["auth.attempt"]
    owner = env.ref("base.user_admin")
    env["auth.integration"].search([], limit=1).owner_ids += env.ref("base.user_demo",
        raise_if_not_found=False) or owner

    def job():  # of incidents, every few minutes and after a refusal; without sending
        env["auth.integration.incident"]._detect()
        metrics._store_finding_counts()

    job()
    cr.commit()

    def scrape():
        openmetrics.exposition(metrics._metrics(), "application/openmetrics-text")

    position = attempts.export(0, 10)["next"]
    # Behind the first pass: the snapshot of now, and nothing but the last hours to look at.
    from dataclasses import replace
    from odoo.addons.auth_integration.tools.monitoring.export_position import Position
    caught_up = Position.load(position).after([], 1).dump()
    todo = {
        "incidents: a run of the job": job,
        "findings: the list": lambda: env["auth.integration.finding"].search([]).mapped("message"),
        "metrics: a scrape": scrape,
        "export: first page of 1,000": lambda: attempts.export(0, 1000),
        "export: next page of 1,000": lambda: attempts.export(position, 1000),
        "export: nothing new": lambda: attempts.export(caught_up, 1000),
    }
    result = []
    for name, work in todo.items():
        spent = []
        for _run in range(runs):
            env.invalidate_all()
            cr.commit()
            started = time.perf_counter()
            work()
            spent.append((time.perf_counter() - started) * 1e3)
        result.append([name, spent])
    for name, work in (("counts", env["auth.attempt.counter"]._counts), ("keys", metrics._keys),
                       ("expiry", metrics._days_to_expiry), ("findings", metrics._findings),
                       ("rotations", metrics._rotations), ("log", metrics._log)):
        started = time.perf_counter()
        work()
        result.append([f"metrics: {name}", [(time.perf_counter() - started) * 1e3]])
"""


def findings(server, runs=5):
    """Yield the findings."""
    for name, spent in server.shell(LOOK, runs=runs):
        promise = PROMISES.get(name.partition(":")[0], PROMISE_PAGE_MS)
        yield Finding(name, median(spent[1:] or spent), "ms", promise)


@check("metrics")
def as_prometheus_and_a_siem_do(side):
    """Fill the log, and query it as Prometheus and a SIEM do."""
    filled_log.fill_and_roll_up(side.server)
    yield from findings(side.server)
