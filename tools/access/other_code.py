"""Methods that run code that the caller chooses, or other stored code.

The method ``*`` of a list does not cover them, and a read-only key cannot call them: the database
cannot prevent what such code does in the server's memory, or what it signs.
"""

# By method: the models that define it. Models that inherit from these are included.
RUNS_OTHER_CODE = {
    "run": {"ir.actions.server"},
    "method_direct_trigger": {"ir.cron"},
    "run_check": {"res.users.identitycheck"},
    "execute_import": {"base_import.import"},
    "execute": {"res.config", "res.config.settings"},
    **dict.fromkeys(("action_next", "action_skip", "action_cancel", "start"), {"res.config"}),
    "button_immediate_install": {"ir.module.module"},
    "button_immediate_install_app": {"ir.module.module"},
    "button_immediate_upgrade": {"ir.module.module"},
    "button_immediate_uninstall": {"ir.module.module"},
    "upgrade_module": {"base.module.upgrade"},
    "action_uninstall": {"base.module.uninstall"},
    "action_install_module": {"base.module.install.review"},
    "import_module": {"base.import.module"},
    "install_l10n_modules": {"res.company"},
    "install_demo": {"ir.demo"},
    "action_manual_trigger": {"base.automation"},
    # It evaluates values of records that are not stored, such as a template, in any dialog.
    "onchange": {"base"},
    # They render what they are about to store, or a text passed as an argument.
    **dict.fromkeys(
        ("create", "write", "copy", "load", "name_create", "web_save", "web_save_multi"),
        {"mail.template", "sms.template"},
    ),
    "message_mail_with_source": {"mail.thread"},
    "message_post_with_source": {"mail.thread"},
    "activity_send_mail": {"mail.activity.mixin"},
    "create_mail_template": {"mail.compose.message"},
    "send_mail": {"mail.template"},
    "send_mail_batch": {"mail.template"},
    "action_send_mail": {"mail.compose.message"},
    "action_send_sms": {"sms.composer"},
    "action_send_sms_mass_now": {"sms.composer"},
    "message_process": {"mail.thread"},
    "action_launch": {"ir.actions.todo"},
}
