"""Send Test and Retry Now with a real endpoint and two workers, from a web session."""

import pytest

from callers.clients import Session, administrator
from callers.rotating_system import System


@pytest.fixture(scope="module")
def server(sending_server):
    return sending_server(workers=2)


@pytest.fixture
def system(server, endpoint):
    """An integration whose new keys are sent to the endpoint."""
    system = System(server, "webhook", known=True)
    system.take_keys_at(endpoint.url)
    return system


def run_schedule(server):
    cron = server.shell("result = env.ref('auth_integration.ir_cron_rotation').id")
    administrator(server).call("ir.cron", "method_direct_trigger", [cron])


def deliveries(server, system):
    return server.sql(
        "SELECT result, status, latency, rotation_id FROM auth_integration_key_delivery"
        " WHERE integration_id = %s ORDER BY id",
        [system.id],
    )


def test_send_test(server, endpoint, system):
    """It makes no key, and shows the endpoint's response; the fourth in a minute is not sent."""
    session, before = Session(server, "admin", "admin"), system.keys()
    said = []
    for endpoint.answer in (200, 404, 503):
        action = session.call("auth.integration", "action_send_test_delivery", [system.id])
        said.append((action["params"]["type"], action["params"]["message"]))
    endpoint.answer = 200
    assert [kind for kind, _message in said] == ["success", "danger", "danger"]
    assert ["200" in said[0][1], "404" in said[1][1], "503" in said[2][1]] == [True] * 3
    assert endpoint.types == ["api_key.test"] * 3 and not endpoint.keys
    with pytest.raises(RuntimeError, match="Wait a minute"):
        session.call("auth.integration", "action_send_test_delivery", [system.id])
    rows = deliveries(server, system)
    assert [row["result"] for row in rows] == ["delivered", "rejected", "uncertain"]
    assert not any(row["rotation_id"] for row in rows)
    assert system.keys() == before


def test_retry_now(server, endpoint, system):
    """The next try would be much later; the button makes the next run send the key."""
    endpoint.answer = 503
    run_schedule(server)
    session = Session(server, "admin", "admin")
    fields = ["state", "next_step", "next_attempt_at", "is_sending"]

    def rotation():
        return session.call("auth.integration.rotation", "search_read",
                            [("integration_id", "=", system.id)], fields)[0]

    seen = rotation()
    assert (seen["state"], seen["next_step"], seen["is_sending"]) == ("delivering", "retry", False)
    [trigger] = server.sql(
        "SELECT count(*) FROM ir_cron_trigger WHERE call_at = %s", [seen["next_attempt_at"]]
    )
    assert trigger["count"], "nothing runs at the time that people read"
    endpoint.answer = 200
    session.call_checked("auth.integration.rotation", "action_retry_now", [seen["id"]])
    assert rotation()["is_sending"]
    run_schedule(server)
    assert rotation()["state"] == "delivered"
    rows = deliveries(server, system)
    assert [(row["result"], row["status"]) for row in rows] == [
        ("uncertain", 503), ("delivered", 200)]
    assert all(row["latency"] >= 0 and row["rotation_id"] == seen["id"] for row in rows)
