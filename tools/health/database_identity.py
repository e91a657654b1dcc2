"""Comparing the identities of databases, ``system_identifier:oid``."""


def is_same(stored: str | None, present: str) -> bool:
    """Tell whether two identities can be of one database.

    A system identifier that could not be read, then or now, is not compared.
    """
    stored_system, _, stored_oid = (stored or "").partition(":")
    system, _, oid = present.partition(":")
    if not stored_oid or stored_oid != oid:
        return False
    return stored_system in ("", system) or not system
