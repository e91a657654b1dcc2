"""``make bench ROWS=rotation``: 10,000 keys due at the same time, rotated by a sending delivery.

For comparison, as many keys are hashed, half of them before and half after, as hashing cannot be
avoided. The rotation job runs as its cron runs it, and is killed when half of the keys have been
sent: no key may be lost or rotated again.
"""

import os
import threading
import time
import xmlrpc.client
from pathlib import Path

from benchmarks.checks.registry import Finding, check
from dev.common import ADDON, ROOT, say

KEYS = int(os.environ.get("ROTATION_KEYS") or 10_000)
INTEGRATIONS = 200
OWNERS = 20
PROMISE_PERCENT = 130
PROMISE_GROWTH_MB = 8
SET_UP = """
    from odoo.addons.base.models.res_users import KEY_CRYPT_CONTEXT

    policy = env["auth.integration.policy"].create({"name": "Benchmark", "delivery": "bench"})
    owners = env["res.users"].with_context(no_reset_password=True).create([
        {"name": f"Owner {n}", "login": f"owner_{n}", "email": f"owner_{n}@example.com"}
        for n in range(owners)])
    made = env["auth.integration"].with_context(tracking_disable=True).create([
        {"name": f"System {n}", "code": f"system_{n}", "policy_id": policy.id,
         "owner_ids": [(4, owners[n % len(owners)].id)]} for n in range(integrations)])
    env.flush_all()
    # Keys whose secret nobody knows, and nobody needs here.
    cr.execute('''
        INSERT INTO res_users_apikeys (name, user_id, expiration_date, key, index, create_date)
        SELECT 'due', i.user_id, localtimestamp + interval '20 days',
               %s || n, lpad(to_hex(n), 8, '0'), localtimestamp - interval '70 days'
        FROM generate_series(1, %s) n
        JOIN (SELECT user_id, row_number() OVER (ORDER BY id) - 1 AS place
              FROM auth_integration WHERE id IN %s) i ON i.place = n %% %s
    ''', [KEY_CRYPT_CONTEXT.hash("x"), keys, tuple(made.ids), integrations])
    env["auth.integration.key"]._reconcile()
    cron = env.ref("auth_integration.ir_cron_rotation")
    key = env["res.users.apikeys"].with_user(2).sudo()._generate(None, "bench", False)
    result = {"cron": cron.id, "key": key}
"""
HASH = """
    import binascii, os, time
    from odoo.addons.base.models.res_users import API_KEY_SIZE, KEY_CRYPT_CONTEXT

    started = time.perf_counter(), time.process_time()
    for _ in range(keys):
        KEY_CRYPT_CONTEXT.hash(binascii.hexlify(os.urandom(API_KEY_SIZE)).decode())
    result = [time.perf_counter() - started[0], time.process_time() - started[1]]
"""
LEFT = """
    SELECT count(*) FILTER (WHERE delivered_at IS NOT NULL) AS delivered,
           count(*) AS opened, coalesce(sum(tries), 0)::bigint AS tries
    FROM auth_integration_rotation WHERE delivery = 'bench'
"""


@check(
    "rotation",
    extra_addons=(ROOT / "benchmarks/addons",),
    modules=(ADDON, "auth_integration_bench"),
)
def rotation(side):
    """Rotate the keys, killing the server halfway, and compare the time with hashing alone."""
    server = side.server
    sent = server.folder / "sent"
    sent.write_text("")
    server.stop()
    os.environ["AUTH_INTEGRATION_BENCH_FILE"] = str(sent)
    say(f"making {INTEGRATIONS:,} integrations with {KEYS:,} keys that are due")
    made = server.shell(SET_UP, owners=OWNERS, integrations=INTEGRATIONS, keys=KEYS)
    server.sql("VACUUM (ANALYZE)")
    server.start()
    say("hashing one half of so many keys")
    hashing = [server.shell(HASH, keys=KEYS // 2)]
    say("rotating, to be killed half-way")
    first = _Run(side, made)
    first.until(lambda: _lines(sent) >= KEYS // 2)
    server.kill9()
    first.end()
    server.start()
    at_kill = _lines(sent)
    say("going on")
    # What was being sent at the kill would wait until its next try, so make that due now.
    server.sql("UPDATE auth_integration_rotation SET next_try_at = NULL")
    second = _Run(side, made)
    second.until(lambda: not second.running)
    hashing.append(server.shell(HASH, keys=KEYS - KEYS // 2))
    yield from _findings(server, (first, second), hashing, sent, at_kill)


def _findings(server, runs, hashing, sent, at_kill):
    (row,) = server.sql(LEFT)
    lines = [line.split() for line in sent.read_text().splitlines()]
    rotated = {old for old, _secret in lines}
    seconds = sum(run.seconds for run in runs)
    hashing, hashing_cpu = map(sum, zip(*hashing, strict=True))
    yield Finding("rotation: keys rotated", len(rotated), "")
    yield Finding("rotation: keys lost", KEYS - row["delivered"], "", 0)
    yield Finding("rotation: keys rotated twice over", row["opened"] - KEYS, "", 0)
    yield Finding("rotation: sent before the kill", at_kill, "")
    yield Finding("rotation: sent again after the kill", len(lines) - len(rotated), "", 100)
    yield Finding("rotation: seconds of hashing alone", hashing, "s")
    yield Finding("rotation: seconds in all", seconds, "s")
    yield Finding("rotation: of hashing", 100 * seconds / hashing, "%", PROMISE_PERCENT)
    # Keys are hashed on all processors, which shortens the time but not the processor time.
    # PostgreSQL's processor time is included.
    cpu = sum(run.cpu for run in runs)
    yield Finding("rotation: processor time, of hashing's", 100 * cpu / hashing_cpu, "%")
    yield Finding("rotation: memory grown", runs[-1].growth, "MB", PROMISE_GROWTH_MB)
    yield Finding("rotation: memory for the mails, once", runs[-1].told, "MB")


def _lines(path):
    with open(path, "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


class _Run:
    """Run the rotation job until all keys are delivered, and watch the server's memory."""

    def __init__(self, side, made):
        self.server, self.running = side.server, True
        self._side, self._made = side, made
        # MB in use while keys are rotated, and afterwards while owners are notified.
        self._memory = {"rotating": [], "telling": []}
        self._cpu = [side.cpu_seconds()]
        self._started = time.perf_counter()
        self._thread = threading.Thread(target=self._process)
        self._thread.start()

    def _process(self):
        try:
            models = xmlrpc.client.ServerProxy(f"{self.server.url}/xmlrpc/2/object")
            while not self._is_done():
                models.execute_kw(
                    self.server.db, 2, self._made["key"],
                    "ir.cron", "method_direct_trigger", [self._made["cron"]],
                )
        except OSError:
            pass  # killed
        finally:
            self.seconds = time.perf_counter() - self._started
            self.running = False

    def _is_done(self):
        (row,) = self.server.sql(LEFT)
        return row["delivered"] == KEYS

    def until(self, condition):
        """Watch the server's memory until a condition holds."""
        while not condition():
            phase = "telling" if self._is_done() else "rotating"
            self._memory[phase].append(_resident_mb(self.server.pid))
            self._cpu.append(self._side.cpu_seconds())
            time.sleep(0.2)  # between two looks
        if not self.running:
            self._thread.join()

    def end(self):
        self._thread.join()

    @property
    def cpu(self):
        """Seconds of processor time in Odoo and PostgreSQL, up to the last sample."""
        return max(self._cpu) - self._cpu[0]

    @property
    def growth(self):
        """MB by which the last tenth of a phase exceeded its second tenth, for the worse phase."""
        return max(_growth(samples) for samples in self._memory.values())

    @property
    def told(self):
        """MB that notifications need once: the first mail makes Odoo load its mail code."""
        return max(self._memory["telling"]) - max(self._memory["rotating"])


def _growth(samples):
    tenth = max(len(samples) // 10, 1)
    return max(samples[-tenth:]) - max(samples[tenth : 2 * tenth] or samples)


def _resident_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
