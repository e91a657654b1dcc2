"""What is kept of the ``User-Agent`` header: what looks like names and versions of software.

The caller chooses the header, and a misconfigured client may send its secret in it.
"""

from __future__ import annotations

import re

from .redaction import clean, escape, scrub

_PRODUCT_OR_WORD = re.compile(
    r"[A-Za-z][\w.+-]{0,40}/v?\d[\w.+-]{0,24}|[A-Za-z][A-Za-z.+_-]{0,24}[:;,]?"
)
# Also allowed in parentheses: versions and short names with digits (Win64, 10_15_7, rv:109.0).
_DETAIL = re.compile(r"(?:[A-Za-z]{0,9}[:_]?\d[\d._]{0,15}|\+?https?://[\w./-]{1,80})[;,)]{0,2}")


def describe(agent: object, limit: int = 200) -> str | None:
    """Return what may be stored and logged of an agent; None when there is none.

    Products with a version, plain words and the usual details in parentheses stay. Every other
    word is replaced by its length, such as ``[12 characters]``: it may be a password.

    :param limit: longest result in characters
    """
    if not isinstance(agent, str) or not agent.strip():
        return None
    parts, in_detail = [], False
    # The default limit of scrub() is enough: a described word is longer by a constant at most.
    for word in scrub(agent).split():
        in_detail = in_detail or word.startswith("(")
        parts.append(word if _is_harmless(word, in_detail) else f"[{len(word)} characters]")
        in_detail = in_detail and ")" not in word
    return clean(escape(" ".join(parts), limit), limit)


def _is_harmless(word, in_detail):
    bare = word.strip("();,")
    if word.startswith("[redacted") or not bare:
        return True
    return bool(_PRODUCT_OR_WORD.fullmatch(bare) or (in_detail and _DETAIL.fullmatch(bare)))
