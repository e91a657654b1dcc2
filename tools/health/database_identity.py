"""Compare identities of databases, ``system_identifier:oid``."""


def is_same(stored: str | None, present: str) -> bool:
    """Whether two identities can belong to one database.

    A system identifier that is missing on either side is not compared.
    """
    stored_system, _, stored_oid = (stored or "").partition(":")
    system, _, oid = present.partition(":")
    if not stored_oid or stored_oid != oid:
        return False
    return stored_system in ("", system) or not system
