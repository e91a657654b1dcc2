from odoo import api, models
from odoo.exceptions import UserError
from odoo.fields import Command

PLAIN_FIELDS = (
    "name", "active", "environment", "purpose", "documentation_url", "allowed_networks",
    "allowed_channels",
)
LINES, COMMAS = "\n", ","


class AuthIntegration(models.Model):
    """Create and update many integrations by their codes, over RPC and by import."""

    _inherit = "auth.integration"

    @api.model
    def provision(self, integrations):
        """Create or update integrations to match these descriptions.

        Calling it again with the same descriptions changes nothing. Values that a description omits
        stay as they are. The rights of the caller apply, and either everything is done or nothing.
        Example::

            models.execute_kw(db, uid, key, "auth.integration", "provision", [[{
                "code": "web_shop",
                "name": "Web Shop",
                "owners": ["olivia"],
                "policy": "Quarterly",
                "allowed_networks": ["192.0.2.0/24"],
                "allowed_channels": ["json2"],
                "groups": ["base.group_partner_manager"],
            }]])

        :param list[dict] integrations: for each ``code``, and any of ``name``, ``active``,
            ``environment``, ``purpose``, ``documentation_url``, ``allowed_networks`` and
            ``allowed_channels`` (lists), ``owners`` (logins), ``policy`` (its name), ``company``
            (its name) and ``groups`` (XML ids: with Internal User, all groups of the user)
        :return: for each, in order, ``{"code", "id", "created", "changed"}``; ``changed`` lists the
            keys whose values were changed
        :rtype: list[dict]
        :raise AccessError: the caller may not do that
        :raise UserError: a described record does not exist, or a code is given twice
        """
        self.check_access("create")
        self._check_descriptions(integrations)
        return [self._provision(dict(description)) for description in integrations]

    @api.model
    def load(self, fields, data):
        """Extend ``load``: without an id column, match rows to integrations by their codes."""
        if "code" in fields and not {"id", ".id"} & set(fields):
            place = fields.index("code")
            codes = [row[place] for row in data if row[place]]
            ids = {
                integration.code: integration.id
                for integration in self.with_context(active_test=False).search(
                    [("code", "in", codes)]
                )
            }
            fields = [".id", *fields]
            data = [[ids.get(row[place], ""), *row] for row in data]
        return super().load(fields, data)

    @api.model
    def _check_descriptions(self, integrations):
        known = {"code", "owners", "policy", "company", "groups", *PLAIN_FIELDS}
        codes = set()
        for description in integrations if isinstance(integrations, (list, tuple)) else [None]:
            code = description.get("code") if isinstance(description, dict) else None
            if not isinstance(code, str) or not code:
                raise UserError(
                    self.env._("Each integration must be a dictionary with a code.")
                )
            if code in codes:
                raise UserError(self.env._("%(code)s: this code is used twice.", code=code))
            codes.add(code)
            if unknown := description.keys() - known:
                raise UserError(
                    self.env._(
                        "%(code)s: unknown %(unknown)s. Choose from: %(known)s.",
                        code=code,
                        unknown=", ".join(sorted(map(str, unknown))),
                        known=", ".join(sorted(known)),
                    )
                )

    def _provision(self, description):
        code = description.pop("code")
        integration = self.with_context(active_test=False).search([("code", "=", code)])
        groups = self._groups_described(code, description.pop("groups", None))
        values = self._values_described(code, description)
        created = not integration
        if created:
            integration = self.create(
                {"code": code, "name": code, **{field: v for field, v, _key in values}}
            )
            changed = [key for _field, _value, key in values]
        else:
            values = [item for item in values if integration._differs(*item[:2])]
            changed = [key for _field, _value, key in values]
            if values:
                integration.write({field: value for field, value, _key in values})
        if groups is not None and groups != integration.sudo().user_id.group_ids:
            integration.sudo().user_id.with_env(self.env).group_ids = [Command.set(groups.ids)]
            changed.append("groups")
        return {
            "code": code, "id": integration.id, "created": created, "changed": sorted(changed),
        }

    def _values_described(self, code, description):
        """Return triples: a field, its value for ``write``, and the key of the description."""
        values = []
        for key, value in description.items():
            if key == "owners":
                owners = self._found(code, "res.users", "login", value)
                values.append(("owner_ids", [Command.set(owners.ids)], key))
            elif key in ("policy", "company"):
                model = "auth.integration.policy" if key == "policy" else "res.company"
                value = self._found(code, model, "name", [value]).id if value else False
                values.append((f"{key}_id", value, key))
            else:
                if isinstance(value, (list, tuple)):
                    separator = LINES if key == "allowed_networks" else COMMAS
                    value = separator.join(map(str, value))
                values.append((key, value, key))
        return values

    def _differs(self, field, value):
        """Return whether a field of this integration differs from a value for ``write``."""
        present = self.with_context(active_test=False)[field]
        if field == "owner_ids":
            return set(present.ids) != set(value[0][2])
        if self._fields[field].type == "many2one":
            return (present.id or False) != value
        return (present or False) != (value or False)

    def _found(self, code, model, field, names):
        """Return the records with these names.

        :raise UserError: there is no record with a name, or more than one
        """
        if not isinstance(names, (list, tuple)):
            raise UserError(self.env._("%(code)s: enter a list of owners.", code=code))
        records = self.env[model]
        for name in names:
            found = self.env[model].search([(field, "=", name)]) if name else self.env[model]
            if len(found) != 1:
                raise UserError(
                    self.env._(
                        "%(code)s: %(count)s records match “%(name)s” (%(model)s).",
                        code=code,
                        count=len(found),
                        name=name,
                        model=self.env["ir.model"]._get(model).name,
                    )
                )
            records |= found
        return records

    def _groups_described(self, code, xml_ids):
        if xml_ids is None:
            return None
        if not isinstance(xml_ids, (list, tuple)):
            raise UserError(self.env._("%(code)s: enter a list of groups.", code=code))
        groups = self.env.ref("base.group_user").sudo()
        for xml_id in xml_ids:
            group = self.env.ref(xml_id, raise_if_not_found=False) if xml_id else None
            if not group or group._name != "res.groups":
                raise UserError(
                    self.env._(
                        "%(code)s: the group %(group)s does not exist.", code=code, group=xml_id
                    )
                )
            groups |= group.sudo()
        return groups
