"""The doors that somebody has looked at, by what was decided about them.

Of builds of Odoo 19.0 up to those that the README names.  What a build no longer has may stay.
"""

KNOWN = {
    "a login, a second factor or an identity check: it comes down to res.users.authenticate and _check_credentials": """
        odoo/http.py Session.authenticate calls authenticate
        odoo/http.py Session.authenticate is defined
        auth_ldap/models/res_users.py ResUsers._check_credentials calls _check_credentials
        auth_ldap/models/res_users.py ResUsers._check_credentials is defined
        auth_ldap/models/res_users.py ResUsers._login calls _login
        auth_ldap/models/res_users.py ResUsers._login is defined
        auth_oauth/controllers/main.py OAuthController.signin calls authenticate
        auth_oauth/models/res_users.py ResUsers._check_credentials calls _check_credentials
        auth_oauth/models/res_users.py ResUsers._check_credentials is defined
        auth_passkey/models/res_users.py ResUsers._check_credentials calls _check_credentials
        auth_passkey/models/res_users.py ResUsers._check_credentials is defined
        auth_passkey/models/res_users.py ResUsers._login calls _login
        auth_passkey/models/res_users.py ResUsers._login is defined
        auth_passkey/models/res_users_identitycheck.py ResUsersIdentitycheck._check_identity calls _check_credentials
        auth_signup/controllers/main.py AuthSignupHome._signup_with_values calls authenticate
        auth_totp/controllers/home.py Home.web_totp calls _check_credentials
        auth_totp/models/res_users.py ResUsers._check_credentials calls _check_credentials
        auth_totp/models/res_users.py ResUsers._check_credentials is defined
        auth_totp_mail/models/res_users.py ResUsers._check_credentials calls _check_credentials
        auth_totp_mail/models/res_users.py ResUsers._check_credentials is defined
        auth_totp_mail/models/res_users.py ResUsers.authenticate calls authenticate
        auth_totp_mail/models/res_users.py ResUsers.authenticate is defined
        base/models/res_users.py ResUsers._check_credentials calls _check_credentials
        base/models/res_users.py ResUsers._check_credentials is defined
        base/models/res_users.py ResUsers._check_uid_passwd calls _check_credentials
        base/models/res_users.py ResUsers._check_uid_passwd is defined
        base/models/res_users.py ResUsers._login calls _check_credentials
        base/models/res_users.py ResUsers._login is defined
        base/models/res_users.py ResUsers.authenticate calls _login
        base/models/res_users.py ResUsers.authenticate is defined
        base/models/res_users.py ResUsers.change_password calls _check_credentials
        base/models/res_users.py ResUsersIdentitycheck._check_identity calls _check_credentials
        base_import_module/controllers/main.py ImportModule.login_upload calls authenticate
        portal/controllers/portal.py CustomerPortal.deactivate_account calls _check_credentials
        web/controllers/database.py Database.create calls authenticate
        web/controllers/home.py Home.web_login calls authenticate
        web/controllers/session.py Session.authenticate calls authenticate
        web/controllers/session.py Session.authenticate is defined
        website/models/res_users.py ResUsers.authenticate calls authenticate
        website/models/res_users.py ResUsers.authenticate is defined
        website_sale_wishlist/models/res_users.py ResUsers._check_credentials calls _check_credentials
        website_sale_wishlist/models/res_users.py ResUsers._check_credentials is defined
    """,
    "sessions: res.users._session_token_get_values ends those of a user who is taken over; no key is ever in one": """
        odoo/http.py Session.finalize calls _compute_session_token
        odoo/service/security.py check_session calls _compute_session_token
        odoo/service/security.py check_session is defined
        odoo/service/security.py compute_session_token calls _compute_session_token
        auth_passkey/models/auth_passkey_key.py AuthPasskeyKey.action_delete_passkey calls _compute_session_token
        auth_passkey/models/auth_passkey_key.py AuthPasskeyKeyCreate.make_key calls _compute_session_token
        auth_totp/models/res_users.py ResUsers._totp_try_setting calls _compute_session_token
        auth_totp/models/res_users.py ResUsers.action_totp_disable calls _compute_session_token
        base/models/ir_http.py IrHttp._authenticate_explicit calls check_session
        base/models/res_users.py ResUsers._check_credentials calls _compute_session_token
        base/models/res_users.py ResUsers._compute_session_token is defined
        bus/models/ir_websocket.py IrWebsocket._authenticate calls check_session
        bus/websocket.py Websocket._dispatch_bus_notifications calls check_session
        portal/controllers/portal.py CustomerPortal._update_password calls _compute_session_token
        web/controllers/home.py Home.web_client calls check_session
    """,
    "ours: the dispatch of RPC services, res.users.authenticate and _check_uid_passwd": """
        odoo/service/common.py exp_authenticate calls authenticate
        odoo/service/model.py dispatch calls _check_uid_passwd
        rpc/controllers/__init__.py RPC.version is a route for none
        rpc/controllers/jsonrpc.py JSONRPC.jsonrpc is a route for none
        rpc/controllers/xmlrpc.py XMLRPC.xmlrpc_1 is a route for none
        rpc/controllers/xmlrpc.py XMLRPC.xmlrpc_2 is a route for none
    """,
    "ours: ir.http._authenticate_explicit sees it, the key is verified by res.users.apikeys": """
        api_doc/controllers/api_doc.py DocController.doc_bearer_index is a route for bearer
        api_doc/controllers/api_doc.py DocController.doc_bearer_modec is a route for bearer
        rpc/controllers/json2.py WebJson2Controller.web_json_2_rpc is a route for bearer
        web/controllers/json.py WebJsonController.web_json_1 is a route for bearer
    """,
    "a login: it comes down to res.users.authenticate; or the master password, which is no user's": """
        auth_oauth/controllers/main.py OAuthController.oea is a route for none
        auth_oauth/controllers/main.py OAuthController.signin is a route for none
        base_import_module/controllers/main.py ImportModule.login_upload is a route for none
        web/controllers/database.py Database.backup is a route for none
        web/controllers/database.py Database.change_password is a route for none
        web/controllers/database.py Database.create is a route for none
        web/controllers/database.py Database.drop is a route for none
        web/controllers/database.py Database.duplicate is a route for none
        web/controllers/database.py Database.list is a route for none
        web/controllers/database.py Database.manager is a route for none
        web/controllers/database.py Database.restore is a route for none
        web/controllers/database.py Database.selector is a route for none
        web/controllers/home.py Home.web_login is a route for none
        web/controllers/session.py Session.authenticate is a route for none
    """,
    "ours: ir.http._authenticate_explicit, in which every method runs": """
        auth_timeout/models/ir_http.py IrHttp._check_identity calls _check_credentials
        base/models/ir_http.py IrHttp._auth_method_bearer calls _check_credentials
        base/models/ir_http.py IrHttp._auth_method_bearer is defined
        base/models/ir_http.py IrHttp._auth_method_none is defined
        base/models/ir_http.py IrHttp._auth_method_public is defined
        base/models/ir_http.py IrHttp._auth_method_user is defined
        base/models/ir_http.py IrHttp._authenticate calls _authenticate_explicit
        base/models/ir_http.py IrHttp._authenticate_explicit is defined
        website/models/ir_http.py IrHttp._auth_method_public is defined
    """,
    "keys and trusted devices: res.users.apikeys._check_credentials is ours, devices are left alone": """
        auth_totp/controllers/home.py Home.web_totp calls _check_credentials_for_uid
        auth_totp/models/auth_totp.py Auth_TotpDevice._check_credentials_for_uid calls _check_credentials
        auth_totp/models/auth_totp.py Auth_TotpDevice._check_credentials_for_uid is defined
        auth_totp_mail/models/res_users.py ResUsers._notify_security_new_connection calls _check_credentials_for_uid
        base/__manifest__.py names res_users_apikeys
        base/models/res_users.py ResUsersApikeys._check_credentials is defined
        portal/models/__init__.py names res_users_apikeys
    """,
    "hashes passwords, or is where keys are kept": """
        base/models/res_users.py names KEY_CRYPT_CONTEXT
        base/models/res_users.py names _crypt_context
        website/models/ir_ui_view.py names _crypt_context
    """,
    "verifies no credential": """
        bus/controllers/websocket.py WebsocketController.health is a route for none
        im_livechat/controllers/main.py LivechatController.fontawesome is a route for none
        im_livechat/controllers/main.py LivechatController.odoo_ui_icons is a route for none
        mail/controllers/mail.py MailController.export_icon_to_png is a route for none
        mail_plugin/controllers/authenticate.py Authenticate.auth_check_version is a route for none
        pos_mercado_pago/controllers/main.py PosMercadoPagoWebhook.notification is a route for none
        pos_viva_com/controllers/main.py PosVivaComController.notification is a route for none
        web/controllers/binary.py Binary.company_logo is a route for none
        web/controllers/binary.py Binary.content_filestore is a route for none
        web/controllers/binary.py Binary.get_fonts is a route for none
        web/controllers/home.py Home.health is a route for none
        web/controllers/home.py Home.index is a route for none
        web/controllers/home.py Home.robots is a route for none
        web/controllers/home.py Home.web_client is a route for none
        web/controllers/session.py Session.get_lang_list is a route for none
        web/controllers/session.py Session.logout is a route for none
        web/controllers/webclient.py WebClient.bootstrap_translations is a route for none
        web/controllers/webclient.py WebClient.version_info is a route for none
    """,
    "ours: ir.http._authenticate_explicit sees every method that takes a credential, a key is verified by res.users.apikeys": """
        calendar/controllers/main.py CalendarController.accept_meeting is a route for calendar
        calendar/controllers/main.py CalendarController.accept_recurrence is a route for calendar
        calendar/controllers/main.py CalendarController.decline_meeting is a route for calendar
        calendar/controllers/main.py CalendarController.decline_recurrence is a route for calendar
        calendar/controllers/main.py CalendarController.view_meeting is a route for calendar
        calendar/models/ir_http.py IrHttp._auth_method_calendar is defined
        crm_mail_plugin/controllers/crm_client.py CrmClient.crm_lead_create is a route for outlook
        crm_mail_plugin/controllers/crm_client.py CrmClient.crm_lead_get_by_partner_id is a route for outlook
        crm_mail_plugin/controllers/crm_client.py CrmClient.log_single_mail_content is a route for outlook
        mail_plugin/controllers/mail_plugin.py MailPluginController.get_translations is a route for outlook
        mail_plugin/controllers/mail_plugin.py MailPluginController.log_mail_content is a route for outlook
        mail_plugin/controllers/mail_plugin.py MailPluginController.modules_get is a route for outlook
        mail_plugin/controllers/mail_plugin.py MailPluginController.res_partner_create is a route for outlook
        mail_plugin/controllers/mail_plugin.py MailPluginController.res_partner_enrich_and_create_company is a route for outlook
        mail_plugin/controllers/mail_plugin.py MailPluginController.res_partner_enrich_and_update_company is a route for outlook
        mail_plugin/controllers/mail_plugin.py MailPluginController.res_partner_get is a route for outlook
        mail_plugin/controllers/mail_plugin.py MailPluginController.res_partners_search is a route for outlook
        mail_plugin/models/ir_http.py IrHttp._auth_method_outlook calls _check_credentials
        mail_plugin/models/ir_http.py IrHttp._auth_method_outlook is defined
        project_mail_plugin/controllers/project_client.py ProjectClient.project_create is a route for outlook
        project_mail_plugin/controllers/project_client.py ProjectClient.projects_search is a route for outlook
        project_mail_plugin/controllers/project_client.py ProjectClient.task_create is a route for outlook
    """,
    "no credential of this server's: another system's, or a script beside it": """
        cloud_storage_azure/utils/cleanup_cloud_storage_azure.py get_blobs_to_be_deleted calls authenticate
        cloud_storage_google/utils/cleanup_cloud_storage_google.py get_blobs_to_be_deleted calls authenticate
        google_gmail/models/fetchmail_server.py FetchmailServer._imap_login__ calls authenticate
        iot_drivers/iot_handlers/drivers/serial_scale_driver.py ScaleReadHardwareProxy.scale_read is a route for none
        microsoft_outlook/models/fetchmail_server.py FetchmailServer._imap_login__ calls authenticate
    """,
    "makes a key of another scope for who is logged in: res.users.apikeys._generate records it": """
        mail_plugin/controllers/authenticate.py Authenticate.auth_access_token is a route for none
    """,
    "newer builds: the module function is patched, see core_patches": """
        base/models/res_users.py ResUsersApikeys._check_credentials calls _check_apikey_credentials
        base/models/res_users.py ResUsersApikeys.generate calls _check_credentials
        base/models/res_users.py _check_apikey_credentials is defined
        base_setup/controllers/kpi.py KpiController.kpi_summary is a route for none
        base_setup/controllers/kpi.py _db_kpi_summary calls _check_apikey_credentials
    """,
}
