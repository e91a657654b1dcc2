"""Which public methods only read, and which ones the method ``*`` of a list stands for.

Both are lists of what is allowed: what nobody has thought of is rejected.  Whoever may create keys
can allow a key any other method by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

READING = {
    # Core's methods that read and are not marked ``@api.readonly``, by the model that defines them.
    "base": {
        "fields_get": "describes fields; marked in no version",
        "get_view": "the stored view of get_views, which is marked",
        "has_access": "answers from access rights and record rules",
        "check_access_rights": "has_access of earlier versions",
        "check_access_rule": "has_access of earlier versions",
        "export_data": "reads as read does; the database rejects the external IDs that it may make",
        "get_external_id": "reads external IDs",
        "get_metadata": "reads who created and changed a record",
        "get_field_translations": "reads the translations of a field",
    },
    "res.users": {"context_get": "the language and time zone with which clients begin"},
    "ir.model.data": {"check_object_reference": "finds a record by its external ID"},
    # Of ours: it must read from the primary database, where the log is written.
    "auth.attempt": {"export": "reads the log"},
}

# What ``*`` stands for, besides the methods that a model itself defines. Methods of mixins are
# named one by one: some render templates that the caller passes.
_OF_ALL_MODELS = frozenset(
    "create write unlink copy name_create load web_save web_save_multi default_get"
    " action_archive action_unarchive toggle_active update_field_translations"
    " message_post message_subscribe message_unsubscribe".split()
)
# Models whose rows are code or access rights. ``*`` stands for none of their methods.
_CODE_OR_RIGHTS = (
    "ir.", "base.", "base_", "res.users", "res.groups", "res.config", "res.company",
)
_RENDERING = frozenset({"mail.render.mixin"})

SECRET_MODELS = frozenset(
    {
        "ir.config_parameter", "ir.mail_server", "fetchmail.server", "payment.provider",
        "iap.account",
    }
)
"""Models that store credentials of the database, which no limited key may read."""

# The keys of a context that reading needs in every model; others are declared by fields.
_READING_CONTEXT = frozenset(
    "lang tz uid active_test allowed_company_ids bin_size prefetch_fields"
    " formatted_display_name".split()
)


def is_reading(model: type, method: str) -> bool:
    """Whether a public method only reads: core marks it, or it is in :data:`READING`.

    :param model: the class of a model in the registry
    """
    if method in READING["base"] or method in READING.get(model._name, ()):
        return True
    for cls in model.mro():  # as core finds the mark
        function = getattr(cls, method, None)
        if hasattr(function, "_readonly"):
            return function._readonly
    return False


def has_code_or_rights(model: type) -> bool:
    """Whether the rows of a model are code, templates, access rights or dialogs.

    :param model: the class of a model in the registry
    """
    return (
        model._name.startswith(_CODE_OR_RIGHTS)
        or model._transient
        or any(getattr(cls, "_name", None) in _RENDERING for cls in model.mro())
    )


def is_in_star(model: type, method: str) -> bool:
    """Whether the method ``*`` of a list stands for a public method.

    :param model: the class of a model in the registry
    """
    if has_code_or_rights(model):
        return False
    if method in _OF_ALL_MODELS or is_reading(model, method):
        return True
    # The class that defines the method first; the others override it.
    definers = [cls for cls in model.mro() if method in vars(cls)]
    return bool(definers) and getattr(definers[-1], "_name", None) == model._name


def is_reading_context(registry, key: object) -> bool:
    """Whether reading needs a context key: in every model, or because a field depends on it.

    A default value is never one: it would become part of a record that is not stored.
    """
    if key in _READING_CONTEXT:
        return True
    if not isinstance(key, str) or key.startswith("default_"):
        return False
    return any(key in keys for keys in registry.field_depends_context.values())


def unstored(records, arguments) -> Iterator:
    """Yield what would make a reading call evaluate more than stored records.

    :param records: those that are read, with the context of the call
    :param arguments: all others; a nested context is under the key ``context`` of a mapping
    :return: IDs that are no record's, and context keys that reading does not need
    """
    yield from (id_ for id_ in records._ids if type(id_) is not int or id_ <= 0)
    for given in (records.env.context, *_contexts(arguments)):
        if isinstance(given, Mapping):
            yield from (key for key in given if not is_reading_context(records.pool, key))
        elif given:
            yield given


def _contexts(value) -> Iterator:
    """Yield every context in a value that a caller sent."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            if "context" in value:
                yield value["context"]
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
