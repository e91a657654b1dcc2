"""Odoo's own authentication tests, which must pass with the add-on installed as they do without it.

``make test-core`` runs all of them; those without a browser are part of ``make test``. They run
after all modules are installed, even those meant to run during the installation: see
``tests/live/addons/core_tests``.
"""

from dev.checks.test_results import odoo_result, report
from dev.common import ADDON, CHECKOUT_ID, TEST_ADDONS, entry_point, free_port, say, state_dir
from dev.environment import virtualenv
from dev.servers import postgres, templates
from dev.servers.odoo_command import addons_path, run_to_end

DATABASE = f"core_{CHECKOUT_ID}"
MODULES = (
    "api_doc", "auth_ldap", "auth_oauth", "auth_passkey", "auth_passkey_portal", "auth_signup",
    "auth_timeout", "auth_totp", "auth_totp_mail", "auth_totp_portal", "base_setup", "portal",
    "test_auth_custom", "test_http", "test_rpc", ADDON,
)
SELECTED = (
    "/base:TestUsers", "/base:TestUsers2", "/base:TestUsersTweaks", "/base:TestUsersIdentitycheck",
    "/web:TestWebLogin", "/web:TestSessionInfo", "/web:TestResUsers", "/portal:TestWebLoginPortal",
    "/rpc", "/test_rpc", "/test_auth_custom", "/test_http", "/api_doc", "/base_setup",
    "/auth_ldap", "/auth_passkey", "/auth_signup", "/auth_timeout", "/auth_totp", "/auth_totp_mail",
    "/bus:TestWebsocketController",
)
# These take minutes, in a browser or with many websockets.
# The tour of auth_timeout locks the screen after one second and fails on a busy machine, with the
# add-on and without it: of five times each, never when quiet, once each beside two busy loops.
SLOW = (
    "/auth_passkey:PasskeyTestTours", "/auth_passkey_portal", "/auth_totp:TestTOTP",
    "/auth_totp:TestAPIKeys", "/auth_totp_mail:TestTOTPInvite", "/auth_totp_portal",
    "/auth_timeout:TestAuthTimeoutHttp", "/test_http:TestXSS", "/test_http:TestCaptcha",
    "/bus:TestWebsocketCaryall", "/bus:TestIrWebsocket",
)
# Tests that also fail without the add-on, with these modules or on this machine.
NOT_OURS = {
    "/auth_signup:TestAuthSignupFlow.test_confirmation_mail_free_signup":
        "the portal leads new users to another page",
    "/web:TestWebLogin.test_web_login_external":
        "the portal leads portal users to another page",
    "/auth_timeout:TestAuthTimeout.test_user_auth_methods":
        "a passkey is missing from the list that it expects",
    "/test_rpc:TestError.test_02_delete":
        "PostgreSQL 18 says RESTRICT where earlier versions said foreign key",
}


def run(with_slow=False):
    """Run the tests and return the result that Odoo's log reports.

    :param with_slow: also run the slow tests
    """
    template = templates.with_modules(MODULES, demo=True)
    templates.copy(template, DATABASE)
    without = [*NOT_OURS, *(() if with_slow else SLOW)]
    tags = [*SELECTED, *(SLOW if with_slow else ()), *(f"-{tag}" for tag in without)]
    log = state_dir("test") / "core.log"
    say(f"Odoo's own tests of authentication (log: {log})")
    code = run_to_end(
        [
            *("--database", DATABASE, "--stop-after-init", "--test-enable"),
            *("--test-tags", ",".join(tags), "--load", "base,web,rpc,core_tests"),
            *("--addons-path", addons_path(TEST_ADDONS), "--max-cron-threads", "0"),
            *("--data-dir", templates.data_dir(), "--screenshots", state_dir("test", "pictures")),
            *("--http-interface", "127.0.0.1"),
            *("--http-port", free_port(), "--gevent-port", free_port()),
        ],
        log,
    )
    templates.discard(DATABASE)
    return odoo_result("core", log, code, core=True)


def main():
    """Run all of them."""
    with postgres.running():
        return report([run(with_slow=True)], [])


if __name__ == "__main__":
    virtualenv.enter()
    entry_point(main)
