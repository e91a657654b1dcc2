"""What the tests of what the log keeps share: the servers, and how its rows are read."""

from dev.common import TEST_ADDONS

PASSWORD = "a person's password"
SERVER = {
    "modules": ("auth_integration", "auth_totp", "attempt_probe"),
    "extra_addons": (TEST_ADDONS,),
    "config": {"dev_mode": "replica"},
    "workers": 2,
}


def outcomes(rows):
    return [(row["outcome"], row["cause"], row["count"]) for row in rows]


def set_parameter(world, name, value):
    world.server.shell(
        "env['ir.config_parameter'].set_param(name, value)", name=name, value=value
    )
