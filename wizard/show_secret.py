"""Actions of the dialogs that show a secret, once."""


def show_key_action(integration, secret, page=None):
    """Action of the dialogue that shows a new key; the key travels in the context only.

    :param page: the action of the page to open when the dialogue is closed
    """
    env = integration.env
    action = show_secret_action(env, "show_key", env._("API Key Ready"), secret)
    action["context"]["auth_integration_id"] = integration.id
    return open_after(action, page)


def open_after(action, page):
    """Have the page of an action open when the dialogue of another one is closed."""
    if page:
        action["context"]["auth_integration_page_after"] = page
    return action


def show_signing_secret_action(env, secret):
    """Action of the dialog that shows a new signing secret."""
    return show_secret_action(env, "show_signing_secret", env._("Signing Secret Ready"), secret)


def show_secret_action(env, view, title, secret, field="key"):
    """Action of a dialogue that shows something secret, this once.

    :param view: the view's XML id is ``auth_integration_<view>_view_form``
    :param field: the one that shows it
    """
    return {
        "type": "ir.actions.act_window",
        "res_model": "res.users.apikeys.show",
        "name": title,
        "views": [(env.ref(f"auth_integration.auth_integration_{view}_view_form").id, "form")],
        "target": "new",
        # The size too: the dialog of an identity check, which may open it, is a narrow one.
        "context": {f"default_{field}": secret, "dialog_size": "large"},
    }
