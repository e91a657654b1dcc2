from odoo import api, models
from odoo.exceptions import UserError

from ...tools.attempt import redaction


class FreeTextMixin(models.AbstractModel):
    """Limit the length of user-entered texts, and remove secrets pasted into them.

    A model lists its texts and the maximum number of characters of each::

        _free_texts = {"reason": 500}
    """

    _name = "auth.integration.free.text.mixin"
    _description = "Texts without Secrets"

    _free_texts = {}

    @api.model_create_multi
    def create(self, vals_list):
        return super().create([self._clean_texts(vals) for vals in vals_list])

    def write(self, vals):
        return super().write(self._clean_texts(vals))

    def _update_field_translations(self, field_name, translations, *args, **kwargs):
        """Extend ``_update_field_translations``, which writes a text without :meth:`write`."""
        if field_name in self._free_texts:
            translations = {
                lang: text and self._clean_text(field_name, text)
                for lang, text in translations.items()
            }
        return super()._update_field_translations(field_name, translations, *args, **kwargs)

    @api.model
    def _clean_texts(self, vals):
        texts = {
            name: self._clean_text(name, vals[name]) for name in self._free_texts if vals.get(name)
        }
        return {**vals, **texts}

    @api.model
    def _clean_text(self, name, text):
        """Return a text as it may be stored, with each secret in it replaced by ``[removed]``.

        :raise UserError: it is no text, or it is too long; superuser code has no length limit
        """
        most = self._free_texts[name]
        label = self._fields[name]._description_string(self.env)
        if isinstance(text, int):
            text = str(text)
        if not isinstance(text, str):
            raise UserError(self.env._("%(field)s must be text.", field=label))
        if len(text) > most and not self.env.su:
            raise UserError(
                self.env._(
                    "%(field)s is too long. Enter at most %(count)s characters.",
                    field=label,
                    count=most,
                )
            )
        return redaction.remove_keys(text)
