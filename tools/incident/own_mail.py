"""What marks mail of the add-on in a context: objects, which no remote caller can send."""


class OwnMail:
    """The mail that is created is the add-on's, which its own job sends."""


class SmtpTimeout(float):
    """Seconds to wait for a mail server."""


OWN_MAIL = {"auth_integration_mail": OwnMail()}
