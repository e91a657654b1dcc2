"""The code of an integration: the short name that becomes a login and is typed into settings."""

import re
import unicodedata

_GOOD = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def is_good(code: str) -> bool:
    """Whether a code can be told, typed and compared by eye without a mistake."""
    return bool(_GOOD.fullmatch(code))


def propose(text: str) -> str:
    """Make a code of a name, or of a code that is none: ``Café Nord`` gives ``cafe_nord``.

    :return: empty when nothing of the text is left
    """
    letters = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_.-]+", "_", letters).strip("_.-")
