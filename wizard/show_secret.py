"""Actions of the dialogs that show a secret once."""


def show_key_action(integration, secret, page=None):
    """Return the action of the dialog that shows a new key, passed only in the context.

    :param page: the action of the page to open when the dialog is closed
    """
    env = integration.env
    action = show_secret_action(env, "show_key", env._("API Key Ready"), secret)
    action["context"]["auth_integration_id"] = integration.id
    return open_after(action, page)


def open_after(action, page):
    """Make the page of an action open when the dialog of another one is closed."""
    if page:
        action["context"]["auth_integration_page_after"] = page
    return action


def show_signing_secret_action(env, secret):
    """Return the action of the dialog that shows a new signing secret."""
    return show_secret_action(env, "show_signing_secret", env._("Signing Secret Ready"), secret)


def show_secret_action(env, view, title, secret, field="key"):
    """Return the action of a dialog that shows a secret once.

    :param view: the view's XML id is ``auth_integration_<view>_view_form``
    :param field: the field that shows the secret
    """
    return {
        "type": "ir.actions.act_window",
        "res_model": "res.users.apikeys.show",
        "name": title,
        "views": [(env.ref(f"auth_integration.auth_integration_{view}_view_form").id, "form")],
        "target": "new",
        # With a size, because an identity check that may open this dialog has a narrow one.
        "context": {f"default_{field}": secret, "dialog_size": "large"},
    }
