"""Attempts as events of the Open Cybersecurity Schema Framework: class Authentication (3002).

https://schema.ocsf.io/1.3.0/classes/authentication
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from ipaddress import ip_address

from ..attempt import causes

SCHEMA_VERSION = "1.3.0"
CATEGORY, CLASS, LOGON = 3, 3002, 1
SUCCESS, FAILURE = 1, 2
# Severity of a rejection by the severity of its cause; a success is informational (1).
SEVERITIES = {"info": 2, "warning": 3, "critical": 4}
OAUTH, OTHER_PROTOCOL = 6, 99
UNKNOWN_USER = {"name": "Unknown", "type_id": 0}
PRODUCT = {"name": "API Integrations: Authentication", "vendor_name": "auth_integration"}
# Columns of the log for which OCSF has no attribute.
UNMAPPED = ("channel", "auth_type", "attribution", "integration_id", "key_id", "user_agent",
            "reference", "operation")
# XML 1.0 cannot represent these characters, but Odoo would send them nevertheless.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
MAX_XMLRPC_INTEGER = 2**31 - 1


def event(row: Mapping[str, object], integration_code: str | None = None) -> dict:
    """Return one row of the log as an event; unknown values are left out.

    :param row: the columns of ``auth.attempt``, with ``bucket`` as hexadecimal text
    """
    row = {name: _NOT_XML.sub("\ufffd", value) if isinstance(value, str) else value
           for name, value in row.items()}
    is_success = row["outcome"] == "success"
    cause = causes.CAUSES.get(row["cause"])
    made = {
        "class_uid": CLASS,
        "category_uid": CATEGORY,
        "activity_id": LOGON,
        "type_uid": CLASS * 100 + LOGON,
        "severity_id": 1 if is_success else SEVERITIES[cause.severity if cause else "warning"],
        "status_id": SUCCESS if is_success else FAILURE,
        "status_detail": row["cause"],
        "message": "Accepted" if is_success else cause and cause.title,
        "time": milliseconds(row["last_seen"]),
        "start_time": milliseconds(row["first_seen"]),
        "end_time": milliseconds(row["last_seen"]),
        "count": row["count"],
        "metadata": {"uid": row["bucket"], "version": SCHEMA_VERSION, "product": PRODUCT},
        "user": _user(row),
        "src_endpoint": _source(row["remote_addr"]),
        "service": _known({"name": "Odoo", "uid": row["database"]}),
        "auth_protocol": row["channel"],
        "auth_protocol_id": OAUTH if row["channel"] == "oauth" else OTHER_PROTOCOL,
        "is_remote": True,
        "unmapped": _known({name: row[name] for name in UNMAPPED})
        | _known({"integration": integration_code}),
    }
    return _known(made)


def for_xmlrpc(value):
    """Return an event that XML-RPC can carry: integers above its limit become floats."""
    if isinstance(value, dict):
        return {name: for_xmlrpc(each) for name, each in value.items()}
    if type(value) is int and value > MAX_XMLRPC_INTEGER:
        return float(value)
    return value


def milliseconds(moment: datetime) -> int:
    """Return a time in OCSF's format: milliseconds since the epoch."""
    return int(moment.replace(tzinfo=timezone.utc).timestamp() * 1000)


def _known(values):
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def _user(row):
    user = {"name": row["login"], "uid": row["user_id"] and str(row["user_id"])}
    return _known(user) or UNKNOWN_USER


def _source(address):
    """Return the caller's address; a shared row of a flood has none."""
    try:
        return {"ip": str(ip_address(address))} if address else None
    except ValueError:
        return {"name": address}
