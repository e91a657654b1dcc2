"""Search everything that a server leaves behind for a secret, in any encoding."""

import base64
import contextlib
import json
import urllib.parse
from pathlib import Path

from dev.servers import postgres, templates


def encodings(secret):
    """Yield a secret in every encoding in which it might be stored."""
    raw = secret.encode()
    yield from {
        raw,
        raw.hex().encode(),
        *_base64_at_any_offset(raw),
        urllib.parse.quote(secret).encode(),
        urllib.parse.quote_plus(secret).encode(),
        json.dumps(secret)[1:-1].encode(),
        repr(secret)[1:-1].encode(),
        secret.replace("&", "&amp;").encode(),
    }


def _base64_at_any_offset(raw):
    """Yield the base64 of a secret within a longer text: it depends on the offset modulo 3."""
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(bytes(before) + raw)
            yield coded[(8 * before + 5) // 6 : 8 * (before + len(raw)) // 6]


def places(server):
    """Yield everything that is on disk after the calls: name and bytes."""
    with contextlib.closing(postgres.connect(server.db)) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            " AND table_type = 'BASE TABLE'"
        )
        for (table,) in cursor.fetchall():
            with open(server.folder / "copy", "wb+") as file:
                cursor.copy_expert(f'COPY "{table}" TO STDOUT', file)
                file.seek(0)
                yield f"table {table}", file.read().replace(rb"\\", b"\\")  # as COPY escapes it
    data = Path(templates.data_dir())
    for folder in (data / "sessions", data / "filestore" / server.db):
        for path in folder.rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()
    yield "server log", server.log_path.read_bytes()


def found(server, secrets):
    """Return the places where any of the secrets is found, as pairs of place and secret."""
    forms = [(secret, form) for secret in secrets for form in encodings(secret)]
    return {
        (place, secret)
        for place, content in places(server)
        for secret, form in forms
        if form in content
    }
