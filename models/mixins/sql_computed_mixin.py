from odoo import models
from odoo.fields import Domain
from odoo.tools import SQL


class SqlComputedMixin(models.AbstractModel):
    """Fields whose value is an SQL expression over the row and the current time.

    A stored field is only as current as its last write, but a state that depends on dates must be
    exact to the second. A model lists such fields and the methods that return their SQL::

        _sql_computed = {"state": "_state_sql"}

        state = fields.Selection(..., compute="_compute_from_sql", search="_search_state")

        def _state_sql(self, alias): ...

    They can then be read, searched, sorted and grouped like stored fields.
    """

    _name = "auth.integration.live.mixin"
    _description = "Fields Computed in SQL"

    _sql_computed = {}

    def write(self, vals):
        """Extend :meth:`models.BaseModel.write`: invalidate these fields after every change."""
        result = super().write(vals)
        self.invalidate_recordset(self._sql_computed)
        return result

    def _sql_expression(self, alias, field_name, query=None):
        """Return the SQL of such a field.

        :param query: the query that will contain it, to which the expression may add a join
        """
        return getattr(self, self._sql_computed[field_name])(alias)

    def _field_to_sql(self, alias, field_expr, query=None):
        """Extend :meth:`models.BaseModel._field_to_sql` with the expressions of such fields."""
        if field_expr in self._sql_computed:
            self._check_field_access(self._fields[field_expr], "read")
            return self._sql_expression(alias, field_expr, query)
        return super()._field_to_sql(alias, field_expr, query)

    def _compute_from_sql(self):
        """Compute, in one query, all such fields that have no compute method of their own."""
        names = [
            name for name in self._sql_computed
            if self._fields[name].compute == "_compute_from_sql"
        ]
        rows = {}
        if self.ids:
            self.flush_model()
            rows = {
                row[0]: row[1:]
                for row in self.env.execute_query(
                    SQL(
                        "SELECT id, %s FROM %s WHERE id IN %s",
                        SQL(", ").join(self._sql_expression(self._table, name) for name in names),
                        SQL.identifier(self._table),
                        tuple(self.ids),
                    )
                )
            }
        for record in self:
            values = rows.get(record._origin.id) or [False] * len(names)
            for name, value in zip(names, values, strict=True):
                record[name] = value

    def _search_from_sql(self, field_name, operator, value):
        """Return the search domain of such a field, for its ``search=`` method.

        :param str operator: ``in`` and ``not in`` (to which the ORM converts ``=``), or ``<``,
            ``<=``, ``>`` and ``>=`` for dates
        """
        if operator not in ("in", "not in", "<", "<=", ">", ">="):
            return NotImplemented
        if operator in ("in", "not in"):
            wanted = {item or None for item in value}
            known, empty = tuple(wanted - {None}), None in wanted

            def to_sql(model, alias, query):
                expression = model._sql_expression(alias, field_name, query)
                terms = [SQL("%s IN %s", expression, known)] if known else []
                terms += [SQL("%s IS NULL", expression)] if empty else []
                found = SQL("(%s)", SQL(" OR ").join(terms)) if terms else SQL("FALSE")
                return found if operator == "in" else SQL("(%s) IS NOT TRUE", found)
        else:

            def to_sql(model, alias, query):
                expression = model._sql_expression(alias, field_name, query)
                return SQL("%s %s %s", expression, SQL(operator), value)

        return Domain.custom(to_sql=to_sql)
