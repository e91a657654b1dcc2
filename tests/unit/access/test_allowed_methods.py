"""What a limited key may read: stored records, with a context that reading needs."""

from types import SimpleNamespace

import pytest

from odoo.addons.auth_integration.tools.access.allowed_methods import unstored

REGISTRY = SimpleNamespace(
    field_depends_context={"a field": ("company", "pricelist"), "another": ("default_list_ids",)}
)
READ = {"lang": "de_DE", "tz": "UTC", "uid": 7, "allowed_company_ids": [1], "pricelist": 3}


def found(ids=(1, 2), context=None, arguments=()):
    records = SimpleNamespace(
        _ids=ids, env=SimpleNamespace(context=context or {}), pool=REGISTRY
    )
    return list(unstored(records, arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ([["name"]], {}),
        ([[("name", "=", "context")]], {"limit": 3}),
        ((), {"specification": {"default_code": {}, "bank_ids": {"context": READ}}}),
        ((), {"specification": {"bank_ids": {"context": None, "fields": {}}}}),
    ],
)
def test_stored_records(arguments):
    assert found(context=READ, arguments=arguments) == []


@pytest.mark.parametrize("id_", [0, -1, True, False, None, "1", 1.0, "virtual_1", object()])
def test_ids_of_no_record(id_):
    assert found(ids=(1, id_)) == [id_]


@pytest.mark.parametrize("key", ["default_name", "default_list_ids", "params", "Lang", 3, None])
def test_contexts_that_reading_does_not_need(key):
    assert found(context={"lang": "de_DE", key: 1}) == [key]
    nested = {"specification": {"child_ids": {"fields": {"child_ids": {"context": {key: 1}}}}}}
    assert found(arguments=((), nested)) == [key]
    assert found(arguments=([({"context": {key: 1}},)], {})) == [key]


def test_contexts_of_another_form():
    pairs = [["default_name", "x"]]
    assert found(arguments=((), {"specification": {"child_ids": {"context": pairs}}})) == [pairs]
