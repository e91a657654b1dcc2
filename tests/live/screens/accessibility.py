"""Problems of a screen that axe-core and the page width show, and how to identify elements."""

import re
from importlib import resources

SERIOUS = ("serious", "critical")
# Only the add-on's screens: what surrounds them is Odoo's.
CONTENT = ".o_action_manager, .o_dialog"
# Parts of Odoo's web client that the screens of stock Odoo in these tests do not show, or rarely:
# groups and menus of a search, columns of a list, a pivot table, people with their pictures, the
# discussion of a form, its read-only labels, a dialog as a whole, the badges of a list. The add-on
# gives them no attribute and no color.
_OF_ODOO = re.compile(
    r"o_searchview_facet|oi-group|o-dropdown\b|o_pivot|o_kanban_grouped|o_tag\b|o_m2m_avatar|o-autocomplete|"
    r"o-mail-|o_form_label_readonly|o_technical_modal|text-bg-(success|info)"
)
_COLORS = re.compile(r"#[0-9a-f]{6}")

_RUN = """
async (selector) => {
    const moving = document.getAnimations()
        .filter((one) => one.effect.getTiming().iterations === 1);
    await Promise.all(moving.map((one) => one.finished.catch(() => null)));
    const include = [...document.querySelectorAll(selector)];
    const answer = await axe.run({include}, {resultTypes: ["violations"]});
    return answer.violations.map((violation) => ({
        rule: violation.id, impact: violation.impact, help: violation.help,
        nodes: violation.nodes.map((node) => ({html: node.html, why: node.failureSummary})),
    }));
}
"""
_WIDER = """
(selector) => [...document.querySelectorAll(selector)]
    .flatMap((content) => [content, ...content.querySelectorAll("*")])
    .filter((node) => {
        const style = getComputedStyle(node);
        return node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0
            && ["auto", "scroll"].includes(style.overflowX);
    })
    .map((node) => node.outerHTML.slice(0, 300))
"""


def load_axe(page):
    """Load axe-core into a page, once after each page load."""
    if not page.evaluate("typeof axe !== 'undefined'"):
        script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
        page.page.evaluate(script)


def violations(page):
    """Return serious and critical violations on the page.

    :return: one for each kind of element, by rule and kind: the element, and what axe says
    """
    load_axe(page)
    return {
        (violation["rule"], _kind(violation["rule"], node)): f"{node['html'][:300]}\n{node['why']}"
        for violation in page.page.evaluate(_RUN, CONTENT)
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
        if not _OF_ODOO.search(kind_of(node["html"]))
    }


def wider_than_the_page(page):
    """Return the elements that must be scrolled sideways, by their kind."""
    return {
        ("width", kind_of(html)): html
        for html in page.page.evaluate(_WIDER, CONTENT)
        if not _OF_ODOO.search(kind_of(html))
    }


def _kind(rule, node):
    """Return what identifies an element; for insufficient contrast, the colors."""
    if rule == "color-contrast":
        return " on ".join(_COLORS.findall(node["why"])[:2])
    return kind_of(node["html"])


def kind_of(html):
    """Return an element's tag and classes, which identify the same element on another screen."""
    tag = re.match(r"<([\w-]+)", html)
    classes = re.search(r'^<[^>]*?\sclass="([^"]*)"', html)
    return " ".join([tag[1] if tag else "", *sorted(classes[1].split() if classes else ())])
