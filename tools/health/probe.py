"""The probe key of Diagnose, and the only calls it may be used for.

Its native row has a scope of its own, so stock Odoo rejects it everywhere; our verification accepts
it for the calls listed here.  So it gives no access if our code is not working.
"""

from ..attempt import request_state

SCOPE = "auth_integration.probe"
LIFETIME_SECONDS = 60

# doctor.py causes these rejections on purpose and without a secret, to test the connection. No
# program of an integration has failed then. Others that use its name can guess nothing this way.
AGENT = "auth-integration-doctor/"
DIAGNOSTIC_CAUSES = ("database_unknown", "header_missing", "header_malformed", "login_missing")
# The ``auth_type`` of requests to /auth_integration/verify, by doctor.py or anybody else.
VERIFY = "verify"

_CODES = ", ".join(f"'{code}'" for code in DIAGNOSTIC_CAUSES)
# Whether :func:`diagnostic_kind` is not None, in SQL: a condition on the columns of a log row.
IS_DIAGNOSTIC = f"""(cause IS NOT NULL AND auth_type IS NOT DISTINCT FROM '{VERIFY}'
    OR COALESCE(starts_with(user_agent, '{AGENT}') AND cause IN ({_CODES}), FALSE))"""

_PATHS = ("/json/2/auth.integration.key/whoami", "/auth_integration/verify")
_CALL = ("auth.integration.key", "whoami")


def is_question(agent: str | None, cause: str | None) -> bool:
    """Whether a rejected attempt was a test by doctor.py and not a call of an integration."""
    return (agent or "").startswith(AGENT) and cause in DIAGNOSTIC_CAUSES


def diagnostic_kind(agent: str | None, cause: str | None, auth_type: str | None) -> str | None:
    """Return the purpose of an attempt that was rejected on purpose.

    :return: ``key``: to learn the state of a key; ``way``: to see how Odoo responds to calls
        without a key; None if a program was rejected
    """
    if cause and auth_type == VERIFY:
        return "key"
    return "way" if is_question(agent, cause) else None


def may_pass(path: str | None) -> bool:
    """Whether a probe key may make the call being served.

    :param path: of the HTTP request
    """
    called = request_state.current().service_call
    if called is None:
        return path in _PATHS
    service, method, params = called
    if service == "common":
        return method in ("authenticate", "login")
    params = params if isinstance(params, list | tuple) else ()
    return service == "object" and method == "execute_kw" and tuple(params[3:5]) == _CALL
