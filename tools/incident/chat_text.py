"""Text for Slack, Teams and Mattermost, in which what people have typed is no mark-up."""

import re

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPACE = "\u200b"  # has no width
# A mention (an @ within a word is that of an email address), and what links, pictures and their
# definitions have in common.
_MARKUP = re.compile(r"(?<!\w)@|\]")


def escape(text):
    """A text as one line which no chat tool reads as a mention, a link or a picture.

    The three characters that Slack reserves become entities, which Markdown reads too. An address
    that is written as such stays one: it shows where it leads.
    """
    line = " ".join(text.split())
    line = "".join(_ENTITIES.get(char, char) for char in line)
    return _MARKUP.sub(lambda match: match[0] + _SPACE, line)
