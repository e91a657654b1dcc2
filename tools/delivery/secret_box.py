"""Encryption of the few secrets that must be read back: TOTP seeds and webhook secrets.

The key is part of the server's configuration, never of the database, so that a dump of the database
reveals nothing. Without a key, such secrets cannot be stored: there is no default and no fallback
to plain text.

Set it in one of these ways, each a list with commas: the first key encrypts, all of them decrypt::

    AUTH_INTEGRATION_SECRET_KEY=...        # environment of the server

    [auth_integration]                     # a section of its own in odoo.conf
    secret_key = ...

To change it, put the new key before the old one on every server, restart, let the hourly job
"rotate due keys" run once (it encrypts the stored secrets again), and remove the old key.
"""

import os

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from odoo.exceptions import UserError

from ..server_config import SECTION, option

ENVIRONMENT_VARIABLE = "AUTH_INTEGRATION_SECRET_KEY"
OPTION = "secret_key"

GENERATE = (
    'python3 -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
)
HOW_TO = (
    f"The administrator of the server generates a key with\n  {GENERATE}\n"
    f"and sets it on every Odoo server: {OPTION} in the section [{SECTION}] of odoo.conf, or the"
    f" environment variable {ENVIRONMENT_VARIABLE}. Then restart Odoo. Keep a copy separate from"
    " the database backups. These secrets cannot be read without the key."
)


class SecretBoxError(UserError):
    """Encryption or decryption is not possible; the message says why and what to do."""


class NoKeyError(SecretBoxError):
    """The server has no key, or not a usable one."""


class UnreadableError(SecretBoxError):
    """A stored secret was encrypted with a key that this server does not have."""


class SecretBox:
    """Encrypts and decrypts secrets, each bound to its purpose.

    :param keys: Fernet keys (URL-safe base64 of 32 bytes); the first encrypts
    """

    def __init__(self, keys):
        try:
            fernets = [Fernet(key) for key in keys]
        except ValueError as error:
            # The message never contains the key, although the original one would not either.
            raise NoKeyError(f"An encryption key is not a Fernet key. {HOW_TO}") from error
        if not fernets:
            raise NoKeyError(f"No encryption key is configured. {HOW_TO}")
        self._newest = fernets[0]
        self._all = MultiFernet(fernets)

    def encrypt(self, secret, purpose):
        """Encrypt a secret.

        :param str purpose: what it is for, such as ``totp:17``; needed again to decrypt, so that
            a ciphertext copied to another record cannot be decrypted there
        :rtype: str
        """
        return self._newest.encrypt(f"{purpose}\0{secret}".encode()).decode()

    def decrypt(self, token, purpose):
        """Decrypt a token that :meth:`encrypt` returned for the same purpose.

        :raise UnreadableError: another key, another purpose, or a damaged token
        """
        try:
            found, _separator, secret = self._all.decrypt(token.encode()).decode().partition("\0")
        except InvalidToken as error:
            raise UnreadableError(
                "A stored secret was encrypted with a key that this server does not have. Add the"
                f" previous key after the current one ({SECTION}, {OPTION}), or create the secret"
                " again."
            ) from error
        if found != purpose:
            raise UnreadableError("A stored secret belongs to another record.")
        return secret

    def is_current(self, token):
        """Whether the newest key alone can decrypt a token."""
        try:
            self._newest.decrypt(token.encode())
        except InvalidToken:
            return False
        return True


def configured_keys():
    """Return the keys of this server, newest first; empty when there are none."""
    text = os.environ.get(ENVIRONMENT_VARIABLE) or option(OPTION)
    return [key.strip() for key in text.split(",") if key.strip()]


def secret_box():
    """Return the box of this server.

    :raise NoKeyError: no key, or not a usable one
    """
    return SecretBox(configured_keys())
