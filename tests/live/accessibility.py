"""What axe-core and the width of a page say about a screen, and by what its parts are known."""

import re
from importlib import resources

SERIOUS = ("serious", "critical")
# Of our own screens only: what surrounds them is Odoo's.
CONTENT = ".o_action_manager, .o_dialog"

_RUN = """
async (selector) => {
    const include = [...document.querySelectorAll(selector)];
    const answer = await axe.run({include}, {resultTypes: ["violations"]});
    return answer.violations.map((violation) => ({
        rule: violation.id, impact: violation.impact, help: violation.help,
        nodes: violation.nodes.map((node) => ({html: node.html, target: String(node.target)})),
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
    """Have a page know axe-core; once after each page load."""
    if not page.evaluate("typeof axe !== 'undefined'"):
        script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
        page.page.evaluate(script)


def violations(page):
    """Serious and critical violations on what the page shows.

    :return: for each kind of element one, by rule and kind: what axe says, and the element
    """
    load_axe(page)
    return {
        (violation["rule"], kind_of(node["html"])): f"{violation['help']}: {node['html'][:300]}"
        for violation in page.page.evaluate(_RUN, CONTENT)
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    }


def wider_than_the_page(page):
    """Elements that have to be scrolled sideways, by their kind."""
    return {("width", kind_of(html)): html for html in page.page.evaluate(_WIDER, CONTENT)}


def kind_of(html):
    """An element's tag and classes: by these the same of another screen is recognized."""
    tag = re.match(r"<([\w-]+)", html)
    classes = re.search(r'^<[^>]*?\sclass="([^"]*)"', html)
    return (tag and tag[1], " ".join(sorted(classes[1].split())) if classes else "")
