"""In a read-only call, SQL cannot control the transaction, and evaluated code cannot reach it."""

import pytest
from odoo.tools.safe_eval import compile_codeobj
from psycopg2.errors import ReadOnlySqlTransaction

from odoo.addons.auth_integration.tools.access import read_only_code
from odoo.addons.auth_integration.tools.attempt import request_state


@pytest.mark.parametrize(
    "text",
    [
        "COMMIT",
        " commit work",
        "END",
        "abort",
        "ROLLBACK",
        "rollback and chain",
        "BEGIN READ WRITE",
        "START TRANSACTION READ WRITE",
        "SET TRANSACTION READ WRITE",
        "set local transaction_read_only = off",
        "SET transaction_read_only TO off",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET default_transaction_read_only = off",
        'SET "transaction_read_only" = off',
        'SET U&"tr\\0061nsaction_read_only" = off',
        "SET/**/TRANSACTION READ WRITE",
        "RESET ALL",
        "RESET transaction_read_only",
        "DISCARD ALL",
        "PREPARE TRANSACTION 'x'",
        "SELECT 1; COMMIT; INSERT INTO a VALUES (1)",
        "SELECT 1;\n\n commit",
        "SELECT ';' ; COMMIT",
        "SELECT '/*'; COMMIT; SELECT '*/'",
        "SELECT 1; /* ; */ COMMIT",
        "SELECT 1; /* /* */ */ COMMIT",
        "/* /* */ */ COMMIT",
        "/* x */ COMMIT",
        "-- x\nCOMMIT",
        "-- x\rCOMMIT",
        ";;COMMIT",
    ],
)
def test_what_controls_a_transaction(text):
    assert read_only_code.is_transaction_control(text)


@pytest.mark.parametrize(
    "text",
    [
        'SELECT "res_partner"."id" FROM "res_partner" WHERE "x" = %s',
        "SELECT CASE WHEN a THEN 1 ELSE 2 END FROM b",
        "SELECT string_agg(name, '; ') FROM a",
        "SELECT 1 /* why */ FROM a -- that is",
        "-- why\nSELECT 1;",
        "/* why */ SELECT 1",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        'SAVEPOINT "x"',
        'ROLLBACK TO SAVEPOINT "x"',
        'RELEASE SAVEPOINT "x"',
        "SET LOCAL lock_timeout = '1s'",
        "SET statement_timeout TO 1000",
        "set local hnsw.ef_search = 5",
        "INSERT INTO a VALUES (1)",  # rejected by the database itself
        "",
    ],
)
def test_what_does_not(text):
    assert not read_only_code.is_transaction_control(text)


ESCAPES = [
    "object.env.cr.commit()",
    "object._cr",
    "[f for f in (lambda: object.env.registry,)]",
    "object.pool.cursor()",
    "object.env.execute_query(x)",
    "[cr.execute(x) for cr in env['auth.throttle']._counting().gen]",
]


@pytest.mark.parametrize("expression", ESCAPES)
def test_evaluated_code_reaches_no_cursor(expression):
    def names(code):
        read_only_code.check_code(code)
        for constant in code.co_consts:
            if hasattr(constant, "co_names"):
                names(constant)

    with request_state.serving():
        code = compile_codeobj(expression)
        names(code)
        request_state.current().read_only_database = "db"
        with pytest.raises(ReadOnlySqlTransaction):
            names(code)
        names(compile_codeobj("[user.name, company_ids, object.sudo().env['x'].search([])]"))
