"""The parts of the schema OCSF 1.3.0 that our events must comply with, and a check of an event.

For each object: its attributes with their types, the required ones, and those of which at least one
must be present. Taken from ``events/iam/authentication.json``, ``events/base_event.json`` and the
objects they name.
"""

from ipaddress import ip_address

ENUMS = {
    "activity_id": {0, 1, 2, 3, 4, 5, 6, 99},
    "auth_protocol_id": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99},
    "severity_id": {0, 1, 2, 3, 4, 5, 6, 99},
    "status_id": {0, 1, 2, 99},
    "type_id": {0, 1, 2, 3, 99},
    "class_uid": {3002},
    "category_uid": {3},
    "type_uid": {300200, 300201, 300202, 300203, 300204, 300205, 300206, 300299},
}
OBJECTS = {
    "event": {
        "types": {
            "activity_id": "enum", "category_uid": "enum", "class_uid": "enum", "type_uid": "enum",
            "severity_id": "enum", "status_id": "enum", "auth_protocol_id": "enum",
            "status_detail": str, "message": str, "auth_protocol": str, "is_remote": bool,
            "time": "timestamp", "start_time": "timestamp", "end_time": "timestamp", "count": int,
            "metadata": "metadata", "user": "user", "src_endpoint": "endpoint",
            "service": "service", "unmapped": dict,
        },
        "required": {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time",
                     "type_uid", "user"},
        "one_of": {"service", "dst_endpoint"},
    },
    "metadata": {
        "types": {"uid": str, "version": str, "product": "product"},
        "required": {"product", "version"},
    },
    "product": {"types": {"name": str, "vendor_name": str}, "required": {"name", "vendor_name"}},
    "user": {
        "types": {"name": str, "uid": str, "type_id": "enum"},
        "one_of": {"account", "name", "uid"},
    },
    "endpoint": {
        "types": {"ip": "ip", "name": str},
        "one_of": {"ip", "uid", "name", "hostname", "svc_name"},
    },
    "service": {"types": {"name": str, "uid": str}, "one_of": {"name", "uid"}},
}


def check(event, kind="event"):
    """Assert that an object complies with the schema."""
    facts = OBJECTS[kind]
    assert facts.get("required", set()) <= event.keys(), kind
    assert not facts.get("one_of") or facts["one_of"] & event.keys(), kind
    for name, value in event.items():
        _check_value(name, value, facts["types"][name])
    if kind == "event":
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]


def _check_value(name, value, wanted):
    if wanted == "enum":
        assert value in ENUMS[name], name
    elif wanted == "timestamp":
        assert type(value) is int and 10**12 < value < 10**13, name
    elif wanted == "ip":
        assert ip_address(value)
    elif isinstance(wanted, str):
        check(value, wanted)
    else:
        assert type(value) is wanted, name
