"""Encryption of readable secrets: it needs a key, and the key can be changed."""

import pytest
from cryptography.fernet import Fernet

from odoo.addons.auth_integration.tools import server_config
from odoo.addons.auth_integration.tools.delivery import secret_box
from odoo.addons.auth_integration.tools.delivery.secret_box import (
    NoKeyError,
    SecretBox,
    UnreadableError,
)

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_round_trip():
    token = SecretBox([OLD]).encrypt("seed", "totp:1")
    assert "seed" not in token
    assert SecretBox([OLD]).decrypt(token, "totp:1") == "seed"


@pytest.mark.parametrize("keys", [[], [""], ["too short"], [OLD, "x"]])
def test_no_key_says_how_to_set_one(keys):
    with pytest.raises(NoKeyError, match="generate_key") as error:
        SecretBox(keys)
    assert OLD not in str(error.value)


def test_bound_to_its_purpose():
    """A ciphertext copied by SQL to another integration cannot be decrypted there."""
    token = SecretBox([OLD]).encrypt("seed", "totp:1")
    with pytest.raises(UnreadableError):
        SecretBox([OLD]).decrypt(token, "totp:2")


def test_change_of_key():
    token = SecretBox([OLD]).encrypt("seed", "totp:1")
    both = SecretBox([NEW, OLD])
    assert both.decrypt(token, "totp:1") == "seed"
    assert not both.is_current(token)
    renewed = both.encrypt("seed", "totp:1")
    assert both.is_current(renewed)
    assert SecretBox([NEW]).decrypt(renewed, "totp:1") == "seed"
    with pytest.raises(UnreadableError, match="previous key"):
        SecretBox([NEW]).decrypt(token, "totp:1")


def test_damaged_token():
    with pytest.raises(UnreadableError):
        SecretBox([OLD]).decrypt("damaged", "totp:1")


def test_where_keys_come_from(monkeypatch, tmp_path):
    """The environment first, then the add-on's own section of the file, which Odoo ignores."""
    monkeypatch.delenv(secret_box.ENVIRONMENT_VARIABLE, raising=False)
    path = tmp_path / "odoo.conf"
    monkeypatch.setattr(server_config, "config", {"config": str(path)})
    assert secret_box.configured_keys() == []
    path.write_text(f"[options]\ndb_name = x\n\n[auth_integration]\nsecret_key = {OLD}\n")
    assert secret_box.configured_keys() == [OLD]
    monkeypatch.setenv(secret_box.ENVIRONMENT_VARIABLE, f"{NEW}, {OLD}")
    assert secret_box.configured_keys() == [NEW, OLD]
    monkeypatch.setattr(server_config, "config", {"config": None})
    monkeypatch.delenv(secret_box.ENVIRONMENT_VARIABLE)
    with pytest.raises(NoKeyError):
        secret_box.secret_box()
