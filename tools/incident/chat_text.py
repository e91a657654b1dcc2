"""Text for Slack, Teams and Mattermost in which user input has no effect as markup."""

import re

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPACE = "\u200b"  # has no width
# The @ of a mention (within a word, it belongs to an email address), and the bracket that links,
# pictures and their definitions have in common.
_MARKUP = re.compile(r"(?<!\w)@|\]")


def escape(text):
    """Return text as one line in which no chat tool finds a mention, a link or a picture.

    The three characters that Slack reserves become entities, which Markdown also supports. A plain
    URL may still become a link: it shows where it leads.
    """
    line = " ".join(text.split())
    line = "".join(_ENTITIES.get(char, char) for char in line)
    return _MARKUP.sub(lambda match: match[0] + _SPACE, line)
