"""Validation of network lists that users enter."""

from odoo.exceptions import ValidationError

from ...tools.integration import networks


def check_networks(records):
    """Check the field ``allowed_networks`` of records.

    :raise ValidationError: names the first line that is neither an address nor a network
    """
    for record in records:
        try:
            networks.parse(record.allowed_networks or "")
        except ValueError as error:
            raise ValidationError(
                record.env._("Allowed networks: %(problem)s", problem=error)
            ) from error
