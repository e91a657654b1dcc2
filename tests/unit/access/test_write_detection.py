"""A write is what PostgreSQL rejects in a read-only transaction."""

import pytest

from odoo.addons.auth_integration.tools.access.write_detection import is_write


@pytest.mark.parametrize(
    ("status", "query"),
    [
        ("INSERT 0 1", 'INSERT INTO "res_partner" ("name") VALUES %s RETURNING "id"'),
        ("UPDATE 3", 'UPDATE "res_partner" SET "name" = %s'),
        ("UPDATE 0", "UPDATE res_partner SET name = %s WHERE FALSE"),
        ("DELETE 1", "DELETE FROM res_partner WHERE id = %s"),
        ("MERGE 1", "MERGE INTO a USING b"),
        ("CREATE TABLE", "CREATE TABLE x ()"),
        ("TRUNCATE TABLE", "TRUNCATE x"),
        ("SELECT 1", "SELECT id FROM res_partner WHERE id = %s FOR UPDATE"),
        ("SELECT 1", "SELECT id FROM res_partner FOR NO KEY UPDATE SKIP LOCKED"),
        ("SELECT 1", "SELECT id FROM res_partner FOR KEY SHARE"),
        ("SELECT 1", "SELECT nextval('ir_sequence_001')"),
        ("SELECT 1", "WITH x AS (INSERT INTO a VALUES (1) RETURNING 1) SELECT * FROM x"),
        ("SELECT 1", "WITH x AS (DELETE FROM a RETURNING 1) SELECT * FROM x"),
    ],
)
def test_writes(status, query):
    assert is_write(status, query)


@pytest.mark.parametrize(
    ("status", "query"),
    [
        ("SELECT 5", 'SELECT "res_partner"."id", "res_partner"."write_date" FROM "res_partner"'),
        ("SELECT 1", "LOCK TABLE auth_integration IN ACCESS SHARE MODE NOWAIT; SELECT 1"),
        ("SAVEPOINT", 'SAVEPOINT "x"'),
        ("RELEASE", 'RELEASE SAVEPOINT "x"'),
        ("ROLLBACK", "ROLLBACK TO SAVEPOINT x"),
        ("SET", "SET LOCAL lock_timeout = 1"),
        ("FETCH 3", "FETCH 3 FROM x"),
        ("", ""),
        (None, "SELECT 1"),
    ],
)
def test_reads(status, query):
    assert not is_write(status, query)
