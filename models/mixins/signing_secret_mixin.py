from contextlib import suppress

from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import SQL

from ...tools.delivery import https_client, signatures
from ...tools.delivery.secret_box import NoKeyError, UnreadableError, secret_box
from ...tools.row_locks import wait_and_lock


class SigningSecretMixin(models.AbstractModel):
    """Webhooks, the secrets that sign them, and other secrets that must be readable again.

    A model lists its URL fields, and its secret columns with the purpose each is encrypted for::

        _webhook_urls = ("webhook_url",)
        _secret_purposes = {"webhook_secret": "webhook"}
    """

    _name = "auth.integration.signing.secret.mixin"
    _description = "Signing Secret"

    _webhook_urls = ()
    _secret_purposes = {}

    @api.constrains(lambda self: self._webhook_urls)
    def _check_webhook_urls(self):
        for record in self:
            for column in self._webhook_urls:
                if url := record[column]:
                    try:
                        https_client.check_url(url)
                    except ValueError as error:
                        raise ValidationError(str(error)) from error

    # Signing secrets -------------------------------------------------------------------------

    def _new_secret_action(self, dialog, record_field):
        """Open a dialog that creates a signing secret and shows it once.

        :param dialog: the model of the dialog
        :param record_field: the field of the dialog that refers to this record
        :raise UserError: the server has no encryption key, which the last step would need
        """
        self.ensure_one()
        secret_box()
        return self.env[dialog]._get_records_action(
            name=self.env._("Create Signing Secret"),
            target="new",
            context={f"default_{record_field}": self.id},
        )

    def _set_signing_secret(self, column, secret):
        """Set a secret that signs outgoing requests.

        :raise UserError: the secret is unusable, or the server has no key to encrypt it with
        """
        self.ensure_one()
        signatures.check_secret(secret)
        token = self._encrypt(secret, self._secret_purposes[column])
        self.sudo().write({column: token, f"{column}_set_at": fields.Datetime.now()})

    # Encryption ------------------------------------------------------------------------------

    def _encrypt(self, secret, purpose):
        """Encrypt a secret of this record.

        :raise UserError: the server has no encryption key; the message says how to set one
        """
        self.ensure_one()
        return secret_box().encrypt(secret, f"{purpose}:{self.id}")

    def _decrypt(self, token, purpose):
        self.ensure_one()
        return secret_box().decrypt(token, f"{purpose}:{self.id}")

    @api.model
    def _secrets_of_old_keys(self):
        """Return the ids of records with secrets not encrypted with the server's newest key."""
        try:
            box = secret_box()
        except NoKeyError:
            return []
        self.flush_model(self._secret_purposes)
        columns = SQL(", ").join(SQL.identifier(column) for column in self._secret_purposes)
        stored = self.env.execute_query(
            SQL(
                "SELECT id, %s FROM %s WHERE COALESCE(%s) IS NOT NULL",
                columns,
                SQL.identifier(self._table),
                columns,
            )
        )
        return [
            id_ for id_, *tokens in stored if not all(box.is_current(t) for t in tokens if t)
        ]

    def _encrypt_again(self, record_ids):
        """Encrypt the secrets of some records with the newest key.

        A secret that cannot be decrypted is left as it is; code that needs it reports the problem.
        """
        box = secret_box()
        records = self.browse(record_ids)
        wait_and_lock(records)
        for record in records:
            for column, purpose in self._secret_purposes.items():
                token = record[column]
                if token and not box.is_current(token):
                    with suppress(UnreadableError):
                        secret = record._decrypt(token, purpose)
                        record[column] = record._encrypt(secret, purpose)
