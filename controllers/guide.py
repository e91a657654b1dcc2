from odoo import http
from odoo.http import request

from ..tools.health import guide


class GuideController(http.Controller):
    """The guide that *Learn More* opens: what each cause and issue means and what to do."""

    @http.route(guide.PATH, type="http", auth="user", readonly=True)
    def causes(self, **_ignored):
        """Show the guide in the user's language; it contains no data of this database."""
        return request.render("auth_integration.guide", {"chapters": self._chapters()})

    def _chapters(self):
        return [
            (
                request.env._(title),
                [
                    {
                        "anchor": entry.anchor,
                        "code": entry.code,
                        "title": request.env._(entry.title),
                        "explanation": entry.explanation and request.env._(entry.explanation),
                        "more": entry.more and request.env._(entry.more),
                        "for_owners": entry.for_owners and request.env._(entry.for_owners),
                        "remedy": guide.without_placeholders(
                            request.env._(entry.remedy), request.env._(guide.SHOWN_VALUE)
                        ),
                    }
                    for entry in entries
                ],
            )
            for title, entries in guide.chapters()
        ]
