"""Kills every worker once, with SIGKILL, before or after a named step; the master starts new ones.

The file that ``AUTH_INTEGRATION_CRASH_FILE`` names contains the step, such as ``before _retire`` or
``after _retire``. It is deleted first, so that the next run passes. A step that ends with `` all``
also kills the master, and one that ends with `` cut`` closes the database connection instead.

It also adds a delivery method, with a single class, as another add-on would.
"""

import os
import signal
from functools import wraps

from odoo import SUPERUSER_ID, api, models


def reach(step, env):
    path = os.environ.get("AUTH_INTEGRATION_CRASH_FILE")
    try:
        with open(path) as file:
            wanted = file.read().strip()
    except (OSError, TypeError):
        return
    if wanted == step:
        os.unlink(path)
        for worker in [*_other_workers(), os.getpid()]:
            os.kill(worker, signal.SIGKILL)
    elif wanted == f"{step} all":
        os.unlink(path)
        os.killpg(os.getpgrp(), signal.SIGKILL)
    elif wanted == f"{step} cut":
        os.unlink(path)
        env.cr._cnx.close()


def _other_workers():
    """Yield the master's other forked children; the process for long polling is not forked."""
    master = os.getppid()
    with open(f"/proc/{master}/cmdline", "rb") as file:
        command = file.read()
    with open(f"/proc/{master}/task/{master}/children") as file:
        children = [int(pid) for pid in file.read().split()]
    for pid in children:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if pid != os.getpid() and file.read() == command:
                yield pid


def steps(*names):
    """Make each of these methods a step."""

    def decorate(cls):
        for name in names:
            setattr(cls, name, _step(cls, name))
        return cls

    return decorate


def _step(cls, name):
    def method(self, *args, **kwargs):
        reach(f"before {name}", self.env)
        result = getattr(super(cls, self), name)(*args, **kwargs)
        reach(f"after {name}", self.env)
        return result

    return wraps(method)(method)


@steps(
    "_open_batch",
    "_lock_for_delivery",
    "_make_new_key",
    "_make_new_keys",
    "_commit",
    "_note_arrival",
    "_note_failure",
    "_reject",
    "_confirm",
    "_confirm_late",
    "_announce",
    "_ask_owners",
    "_send_digest",
    "_notify",
)
class Rotation(models.Model):
    _inherit = "auth.integration.rotation"

    @api.model
    def claim_for_test(self, rotation_id):
        """Claim without the identity check, which needs a browser."""
        secret, _key = self.browse(rotation_id)._claim()
        reach("after claim_for_test", self.env)
        return secret

    @api.model
    def run_for_test(self):
        """Run the job even if it is already running, which Odoo's scheduler never does."""
        self.with_user(SUPERUSER_ID)._cron_rotate()
        return True


@steps(
    "_retire",
    "_take_back_overlap",
    "_write_native_end",
    "_end",
    "_record_generated",
    "_confirm_first_use",
    "_reconcile_apart",
)
class Key(models.Model):
    _inherit = "auth.integration.key"

    @api.model
    def rotate(self, totp=False):
        answer = super().rotate(totp)
        reach("after rotate", self.env)
        return answer


@steps("_generate_all")
class Natives(models.Model):
    _inherit = "res.users.apikeys"


@steps("_send")
class Webhook(models.AbstractModel):
    _inherit = "auth.integration.delivery.webhook"


class ToFile(models.AbstractModel):
    """A delivery method of another add-on."""

    _name = "auth.integration.delivery.file"
    _inherit = "auth.integration.delivery"
    _description = "Written to a file"
    _sends = True

    def _send(self, rotation, secret, new_key):
        with open(os.environ["AUTH_INTEGRATION_KEY_FILE"], "a") as file:
            file.write(secret + "\n")


@steps("_detect")
class Incident(models.Model):
    _inherit = "auth.integration.incident"

    @api.model
    def run_for_test(self):
        """Run the job even if it is already running."""
        self.with_user(SUPERUSER_ID)._cron_incidents()
        return True


@steps("_write_alert", "_write_mail", "_send_one", "_send_mail")
class Alert(models.Model):
    _inherit = "auth.integration.alert"
