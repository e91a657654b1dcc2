"""Events comply with the schema, whatever the log contains."""

import json
import xmlrpc.client
from datetime import datetime

import pytest

from dev.checks import ocsf_schema
from odoo.addons.auth_integration.tools.attempt import causes
from odoo.addons.auth_integration.tools.monitoring import ocsf

ROW = {
    "bucket": "ab" * 16, "outcome": "failure", "cause": "key_expired", "channel": "json2",
    "auth_type": "bearer", "login": "shop", "user_id": 7, "integration_id": 3,
    "attribution": "key", "key_id": 9, "remote_addr": "203.0.113.7", "user_agent": "curl/8",
    "database": "prod", "reference": "ABCD", "operation": "res.users.write", "count": 3,
    "first_seen": datetime(2026, 11, 25, 12), "last_seen": datetime(2026, 11, 25, 12, 0, 30),
}
NOTHING = dict.fromkeys(
    ("auth_type", "login", "user_id", "integration_id", "attribution", "key_id", "remote_addr",
     "user_agent", "database", "reference", "operation"))


def test_a_refusal():
    event = ocsf.event(ROW, "shop")
    ocsf_schema.check(event)
    assert event["class_uid"] == 3002 and event["category_uid"] == 3 and event["count"] == 3
    assert (event["status_id"], event["status_detail"]) == (2, "key_expired")
    assert event["time"] == 1795608030000 and event["metadata"]["uid"] == "ab" * 16
    assert event["user"] == {"name": "shop", "uid": "7"}
    assert event["src_endpoint"] == {"ip": "203.0.113.7"}
    assert event["unmapped"] == {
        "channel": "json2", "auth_type": "bearer", "attribution": "key", "integration_id": 3,
        "key_id": 9, "user_agent": "curl/8", "reference": "ABCD", "operation": "res.users.write",
        "integration": "shop"}


def test_a_success():
    event = ocsf.event(ROW | {"outcome": "success", "cause": None})
    ocsf_schema.check(event)
    assert (event["status_id"], event["severity_id"]) == (1, 1) and "status_detail" not in event


@pytest.mark.parametrize("cause", [*causes.CAUSES, "of another version"])
def test_every_cause(cause):
    ocsf_schema.check(ocsf.event(ROW | {"cause": cause}))


@pytest.mark.parametrize("address", [None, "(many)", "2001:db8::1", "10.0.0.1"])
def test_nobody_known(address):
    event = ocsf.event(ROW | NOTHING | {"remote_addr": address})
    ocsf_schema.check(event)
    assert event["user"] == {"name": "Unknown", "type_id": 0}
    assert ("src_endpoint" in event) == bool(address)


def test_xmlrpc_carries_it():
    hostile = 'x\x00\x01\x1f\ufffe\uffff</value>&"\'\n${jndi:ldap://x}\u202e'
    row = ROW | dict.fromkeys(("login", "user_agent", "reference"), hostile) | {"count": 2**40}
    event = ocsf.for_xmlrpc(ocsf.event(row))
    ((found,), _method) = xmlrpc.client.loads(xmlrpc.client.dumps((event,)))
    assert found == event and type(found["time"]) is float and found["count"] == 2**40
    assert found["user"]["name"].startswith("x\ufffd\ufffd\ufffd\ufffd\ufffd</value>")
    assert json.loads(json.dumps(event)) == event
