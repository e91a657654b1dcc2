"""The probe key of Diagnose: what it may be used for, and nothing else.

Its native row has a scope of its own, so stock Odoo refuses it for everything; our verification
lets it pass for the calls named here.  So it opens nothing should our code be out of action.
"""

from ..attempt import request_state

SCOPE = "auth_integration.probe"
LIFETIME_SECONDS = 60

# What doctor.py asks on purpose and without a secret, to see how the way answers: no program of an
# integration did that, and whoever borrows its name can guess nothing with it.
AGENT = "auth-integration-doctor/"
DIAGNOSTIC_CAUSES = ("database_unknown", "header_missing", "header_malformed", "login_missing")
# The ``auth_type`` of what is asked at /auth_integration/verify, by doctor.py or by anybody.
VERIFY = "verify"

_CODES = ", ".join(f"'{code}'" for code in DIAGNOSTIC_CAUSES)
# The same as :func:`diagnostic_kind` in SQL: a condition on the columns of a row of the log.
IS_DIAGNOSTIC = f"""(cause IS NOT NULL AND auth_type IS NOT DISTINCT FROM '{VERIFY}'
    OR COALESCE(starts_with(user_agent, '{AGENT}') AND cause IN ({_CODES}), FALSE))"""

_PATHS = ("/json/2/auth.integration.key/whoami", "/auth_integration/verify")
_CALL = ("auth.integration.key", "whoami")


def is_question(agent: str | None, cause: str | None) -> bool:
    """Whether a refused attempt is a question of doctor.py, and of no integration."""
    return (agent or "").startswith(AGENT) and cause in DIAGNOSTIC_CAUSES


def diagnostic_kind(agent: str | None, cause: str | None, auth_type: str | None) -> str | None:
    """What somebody wanted to know who was refused on purpose.

    :return: ``key``: what has become of a key; ``way``: how Odoo answers to calls without any;
        None for a program that was refused
    """
    if cause and auth_type == VERIFY:
        return "key"
    return "way" if is_question(agent, cause) else None


def may_pass(path: str | None) -> bool:
    """Whether the call being served is one that a probe key may make.

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
