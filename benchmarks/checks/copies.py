"""Code for ``LiveServer.shell`` that several checks need.

:data:`COPY` quickly creates many rows as copies of a row that the ORM has created. It defines
``copy(table, source, base, number, **changes)``, which makes ``number`` copies of the row
``source`` with the ids from ``base + 1`` on. Each change is an SQL expression for a column, in
which ``n`` counts from 1.
"""

COPY = r"""
    def copy(table, source, base, number, **changes):
        cr.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s"
                   " AND table_schema = current_schema AND is_generated = 'NEVER'", [table])
        columns = [name for [name] in cr.fetchall()]
        values = [changes.get(name, f'"{name}"') for name in columns if name != "id"]
        names = [f'"{name}"' for name in columns if name != "id"]
        chosen = ", ".join(values).replace("%", "%%")
        cr.execute(
            f"INSERT INTO {table} (id, {', '.join(names)}) SELECT {base} + n, {chosen}"
            f" FROM {table}, generate_series(1, %s) n WHERE {table}.id = %s", [number, source])
        cr.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {base} + %s)",
                   [number])
"""

# Sets ``result`` to each name of ``todo`` with the milliseconds of its ``runs``; slow ones run less
# often.
TIME_EACH = """
    result = []
    for name, work in todo.items():
        spent = []
        for _run in range(runs):
            env.invalidate_all()
            started = time.perf_counter()
            work()
            spent.append((time.perf_counter() - started) * 1e3)
            if spent[-1] > 20 * promise:
                break
        result.append([name, spent])
"""
