"""The code of an integration: a short name that is used as a login and in settings."""

import re
import unicodedata

_GOOD = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def is_good(code: str) -> bool:
    """Whether a code can be read out, typed and compared by eye without mistakes."""
    return bool(_GOOD.fullmatch(code))


def propose(text: str) -> str:
    """Return a code for a name, or for an invalid code: ``Café Nord`` gives ``cafe_nord``.

    :return: empty when nothing of the text is left
    """
    letters = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_.-]+", "_", letters).strip("_.-")
