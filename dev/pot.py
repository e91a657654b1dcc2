"""``make pot``: write the translation template, and check whether the committed one is stale.

The translations get the same texts: new ones stay empty until they are translated (a test lists
them), and those that no longer exist are removed.
"""

import re

from dev.common import ADDON, CHECKOUT_ID, ROOT, entry_point, export_addon, say, state_dir
from dev.environment import virtualenv
from dev.servers import postgres, templates
from dev.servers.odoo_command import addons_path, check_addon, run_or_die

TEMPLATE = ROOT / "i18n" / f"{ADDON}.pot"


def export(database):
    """Return the translation template of the add-on as installed in a database.

    Dates are removed: they would make every export different.
    """
    exported = state_dir("test") / "export.pot"
    configuration = state_dir("test") / "export.conf"
    # Use a copy of the add-on, as the export walks the whole add-ons path and follows links.
    path = addons_path(export_addon("pot").parent, with_addon=False)
    configuration.write_text(
        f"[options]\naddons_path = {path}\ndata_dir = {templates.data_dir()}\n"
    )
    arguments = ["i18n", "export", "--config", configuration, "--database", database]
    run_or_die(
        [*arguments, "--output", exported, ADDON],
        state_dir("test") / "export.log",
        "exporting the translation template",
    )
    return re.sub(r'^"(POT-Creation|PO-Revision)-Date: .*\n', "", exported.read_text(), flags=re.M)


def is_stale(database):
    """Return whether the committed template differs from the texts in the code and data."""
    return not TEMPLATE.exists() or TEMPLATE.read_text() != export(database)


def merge_translations():
    """Update all translations to the texts of the template."""
    import polib

    template = polib.pofile(TEMPLATE)
    for path in sorted(TEMPLATE.parent.glob("*.po")):
        translation = polib.pofile(path)
        translation.merge(template)
        for entry in translation.obsolete_entries():
            translation.remove(entry)
        translation.sort(key=lambda entry: entry.msgid)
        translation.save()
        missing = len(translation.untranslated_entries())
        say(f"{path.relative_to(ROOT)}: {missing} texts to translate")


def main():
    """Write the template and update the translations."""
    check_addon()
    with postgres.running():
        database = f"export_{CHECKOUT_ID}"
        templates.copy(templates.with_modules([ADDON], demo=True), database)
        text = export(database)
        templates.discard(database)
    TEMPLATE.parent.mkdir(exist_ok=True)
    TEMPLATE.write_text(text)
    say(f"wrote {TEMPLATE.relative_to(ROOT)}")
    merge_translations()


if __name__ == "__main__":
    virtualenv.enter()
    entry_point(main)
