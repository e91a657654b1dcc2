#!/usr/bin/env python3
"""Find out why an external system cannot authenticate with Odoo's API, from its own machine.

    ODOO_KEY=... python3 doctor.py https://odoo.example.com --db mydb --login shop --protocol json2

One file, standard library only, Python 3.8 or newer. Use exactly the same settings as your system.
It checks the settings, the host name, the connection, the certificate, the proxies, the database
and the key. It shows the first cause and what to do. The exit code identifies the cause
(``--list-causes``; 0: no problem found). The key is read from ODOO_KEY, a file or standard input.
It is never printed. It is only sent after the host has been identified as an Odoo server, and only
over an encrypted connection or within this machine.
"""

import argparse
import datetime
import email.utils
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import sys
import textwrap
import time
import urllib.parse
import xmlrpc.client
from collections import namedtuple

VERSION = "1.0"
AGENT = "auth-integration-doctor/" + VERSION
KEY_PROTOCOLS = ("json2", "xmlrpc", "jsonrpc")
PROTOCOLS = (*KEY_PROTOCOLS, "session")  # a session opens with a user's password, not with a key
PATHS = {
    "json2": "/json/2/res.users/context_get",
    "xmlrpc": "/xmlrpc/2/common",
    "jsonrpc": "/jsonrpc",
    "session": "/web/session/get_lang_list",
}
NO_USER_ID = ("", "0", "false", "none", "null", "nil")
SESSION_EXPIRED = 100  # the code of this JSON-RPC error in Odoo
NO_SUCH_DATABASE = "doctor-no-such-database"
TIMEOUT = 30  # seconds
MAX_SKEW = 120  # seconds that two clocks may differ
CERTIFICATE_NOTICE = 14  # days
KEY_STATES = {"retiring": "being replaced"}  # as shown in Odoo

Cause = namedtuple("Cause", "exit_code title remedy")


def _lt(text):
    """Mark a text for translation: *Diagnose* in Odoo shows it in the user's language."""
    return text


CAUSES = {
    # Settings: nothing has been sent yet.
    "url_invalid": Cause(
        10,
        _lt("The URL is not valid"),
        _lt("Enter it as https://host or https://host:port only."),
    ),
    "url_is_web_page": Cause(
        11,
        _lt("The URL belongs to a web page"),
        _lt("Remove /web, /odoo and everything after it. Your system adds the path itself."),
    ),
    "path_incomplete": Cause(
        12,
        _lt("The API path is incomplete"),
        _lt("Use /xmlrpc/2/common and /xmlrpc/2/object, /jsonrpc, or /json/2/<model>/<method>."),
    ),
    "path_doubled": Cause(
        13,
        _lt("The API path is in the URL twice"),
        _lt("Enter the base URL only (https://host). Your system adds the path itself."),
    ),
    "path_unknown": Cause(
        14,
        _lt("Odoo has no API at this path"),
        _lt("Use /xmlrpc/2/common and /xmlrpc/2/object, /jsonrpc, or /json/2/<model>/<method>."),
    ),
    "key_missing": Cause(
        15,
        _lt("No key was given"),
        _lt("Set the setting or environment variable that holds the key."),
    ),
    "key_whitespace": Cause(
        16,
        _lt("The key contains a line break or a space"),
        _lt(
            "Remove it. Write the file without a line break (printf, not echo), or strip the key "
            "when reading it."
        ),
    ),
    "key_quoted": Cause(
        17,
        _lt("The key has quotes around it"),
        _lt("Remove the quotes. They are read as part of the key."),
    ),
    "key_with_scheme": Cause(
        18,
        _lt("The key begins with the word Bearer"),
        _lt("Enter the key only. Your system adds the word Bearer itself."),
    ),
    "key_cut_off": Cause(
        19,
        _lt("The key is not complete"),
        _lt("An Odoo API key has 40 characters, 0-9 and a-f. Copy the whole key again."),
    ),
    "key_invisible_characters": Cause(
        20,
        _lt("The key contains invalid characters"),
        _lt("Copy the key again as plain text. It contains invisible characters."),
    ),
    "header_without_bearer": Cause(
        21,
        _lt("The Authorization header contains the key without the word Bearer"),
        _lt("Send 'Authorization: Bearer <key>'."),
    ),
    "header_malformed": Cause(
        22,
        _lt("The Authorization header does not have the form 'Bearer <key>'"),
        _lt("Send the word Bearer, one space and the key, without quotes."),
    ),
    "login_missing": Cause(
        23,
        _lt("No login was given"),
        _lt("XML-RPC and JSON-RPC need the login of the integration user."),
    ),
    "login_is_a_key": Cause(
        24,
        _lt("The login is an API key"),
        _lt("Check whether login and key are swapped, or the key is entered twice."),
    ),
    # The connection to the server.
    "host_unknown": Cause(
        30,
        _lt("The host name is unknown"),
        _lt("Correct the host in the URL or its DNS entry."),
    ),
    "connection_refused": Cause(
        31,
        _lt("Nothing responds on this port"),
        _lt("Check the port, the server and the firewall."),
    ),
    "connection_timeout": Cause(
        32,
        _lt("No response in time"),
        _lt("A firewall may drop the packets. Ask its administrator to allow this machine."),
    ),
    "tls_expired": Cause(
        33,
        _lt("The server's certificate has expired"),
        _lt("Ask the server administrator to renew it."),
    ),
    "tls_not_yet_valid": Cause(
        34,
        _lt("The server's certificate is not valid yet"),
        _lt("Check this machine's clock."),
    ),
    "tls_wrong_host": Cause(
        35,
        _lt("The certificate is for another host"),
        _lt("Use the host in the certificate."),
    ),
    "tls_untrusted": Cause(
        36,
        _lt("The certificate's issuer is not trusted by this machine"),
        _lt(
            "Add the issuer's certificate to your system (here: --ca-file), or ask the server "
            "administrator to send the whole chain."
        ),
    ),
    "tls_failed": Cause(
        37,
        _lt("No encrypted connection could be made"),
        _lt("Compare the TLS versions allowed on both sides."),
    ),
    "https_on_plain_port": Cause(
        38,
        _lt("The URL has https, but the port does not support it"),
        _lt("Correct the port."),
    ),
    "http_instead_of_https": Cause(
        39,
        _lt("The URL has http, but the server needs https"),
        _lt("Enter https:// in the URL. A redirect would remove the body of every call."),
    ),
    "redirect_to_other_host": Cause(
        40,
        _lt("The server redirects to another host"),
        _lt("Enter that host in the URL. HTTP libraries do not send the key to another host."),
    ),
    "redirect_to_other_path": Cause(
        41,
        _lt("The server redirects to another path"),
        _lt("Enter the redirect target in the URL."),
    ),
    "not_odoo": Cause(
        42,
        _lt("This is not an Odoo server"),
        _lt("Correct the address, its port or the path before the API's."),
    ),
    "server_unavailable": Cause(
        43,
        _lt("The proxy responds, but Odoo does not"),
        _lt("Ask the server administrator to check Odoo and the proxy's target."),
    ),
    "path_blocked": Cause(
        44,
        _lt("A proxy or firewall blocks the API path"),
        _lt("Configure the proxy or firewall to allow POST requests to this path."),
    ),
    "redirect_drops_body": Cause(
        45,
        _lt("A redirect removes the body of the call"),
        _lt("Call the redirect target directly. HTTP libraries turn a redirected POST into a GET."),
    ),
    "redirect_drops_authorization": Cause(
        46,
        _lt("A redirect to another host removes the key"),
        _lt(
            "Call the redirect target directly. HTTP libraries do not send the key to another "
            "host."
        ),
    ),
    "authorization_stripped": Cause(
        47,
        _lt("The Authorization header does not reach Odoo"),
        _lt(
            "Configure the proxy to pass it on (nginx: no proxy_set_header Authorization; Apache: "
            "CGIPassAuth)."
        ),
    ),
    "plain_http": Cause(
        48,
        _lt("The key would be sent unencrypted"),
        _lt("Use https://. To test without encryption, use --send-over-http."),
    ),
    # The database.
    "database_unknown": Cause(
        50,
        _lt("The host does not serve this database"),
        _lt(
            "Compare the name, including uppercase letters, with the one on the connection sheet."
        ),
    ),
    "login_database_swapped": Cause(
        51,
        _lt("Login and database are swapped"),
        _lt("The login is the name of a database. Swap them."),
    ),
    "database_missing": Cause(
        52,
        _lt("No database was given, and the host serves several"),
        _lt("Enter the database. With /json/2, send it in the X-Odoo-Database header."),
    ),
    "database_not_selected": Cause(
        53,
        _lt("The database exists, but /json/2 cannot reach it through this host"),
        _lt(
            "Configure the proxy to pass on the X-Odoo-Database header and the host name. Check "
            "the server's database filter."
        ),
    ),
    # Login and key.
    "key_unknown": Cause(
        60,
        _lt("The key is unknown in this database"),
        _lt(
            "Compare its first 8 characters with those in Odoo. If they differ, ask an owner for "
            "a new key."
        ),
    ),
    "key_expired": Cause(
        61,
        _lt("The key has expired"),
        _lt("Ask an owner for a new key and install it."),
    ),
    "key_revoked": Cause(
        62,
        _lt("The key was revoked"),
        _lt("Ask an owner of the integration why, and ask for a new key."),
    ),
    "key_superseded": Cause(
        63,
        _lt("The key was replaced by a newer one"),
        _lt("Install the new key everywhere the old one is still used."),
    ),
    "key_copied": Cause(
        59,
        _lt("The key belongs to the original of this database"),
        _lt(
            "This database is a neutralized copy. Correct the URL and the database name, or ask "
            "an owner for a key of the copy."
        ),
    ),
    "key_wrong_scope": Cause(
        64,
        _lt("The key is not valid for API calls"),
        _lt("Ask an owner for a key that is valid for API calls."),
    ),
    "user_archived": Cause(
        65,
        _lt("The user is archived"),
        _lt("Ask an administrator to restore the user in Odoo, or turn off this system."),
    ),
    "address_not_allowed": Cause(
        66,
        _lt("Odoo does not allow calls from the address it sees"),
        _lt("Ask an administrator to allow the address of this machine, as Odoo sees it."),
    ),
    "channel_not_allowed": Cause(
        67,
        _lt("Odoo does not allow this protocol for this integration"),
        _lt("Use another protocol, or ask an administrator to allow this one."),
    ),
    "login_wrong": Cause(
        68,
        _lt("The key is valid but belongs to another login"),
        _lt("Enter the login of the key. It is on the connection sheet."),
    ),
    "login_or_secret_wrong": Cause(
        69,
        _lt("Login or password rejected"),
        _lt(
            "Odoo does not say which is wrong. Give the reference to an Odoo administrator, who "
            "can look up the cause. Integrations and users with a second factor need an API key."
        ),
    ),
    "password_wrong": Cause(
        73,
        _lt("Odoo rejects this password for this login"),
        _lt(
            "Enter the current password, as it may have changed. Check the spelling of the login. "
            "Or ask for an API key: it keeps working when the password changes. Integrations and "
            "users with a second factor need one."
        ),
    ),
    "password_over_json2": Cause(
        70,
        _lt("/json/2 needs an API key, not a password"),
        _lt("Ask an owner for an API key and install it."),
    ),
    "second_factor_needed": Cause(
        79,
        _lt("The user has a second factor, so API calls need an API key"),
        _lt("Ask an owner for an API key and use it with /json/2, XML-RPC or JSON-RPC."),
    ),
    "authenticate_skipped": Cause(
        74,
        _lt("The call has no user ID"),
        _lt(
            "Call authenticate first and check its result. False means rejected and is not a user "
            "ID."
        ),
    ),
    "uid_wrong": Cause(
        75,
        _lt("The user ID does not match this login"),
        _lt("Use the number that authenticate returns in this database. Do not store it."),
    ),
    "session_expired": Cause(
        76,
        _lt("The session has expired"),
        _lt(
            "Authenticate again when the session expires: after a time, at logout, or when the "
            "password changes. Or call /json/2 with an API key, which needs no session."
        ),
    ),
    "session_needs_password": Cause(
        77,
        _lt("Sessions need a password, not an API key"),
        _lt("Use the key with /json/2, XML-RPC or JSON-RPC."),
    ),
    "session_cookie_lost": Cause(
        78,
        _lt("The session cookie does not reach Odoo"),
        _lt(
            "Keep the session_id cookie and send it with each call. The proxy must pass on "
            "Set-Cookie and Cookie."
        ),
    ),
    "verify_limited": Cause(
        71,
        _lt("Odoo has checked too many keys from this address"),
        _lt("Wait a minute and run doctor.py again. Your system's calls are not limited."),
    ),
    "refused": Cause(
        72,
        _lt("Odoo rejects the call"),
        _lt("Give the reference to an Odoo administrator, who can look up the cause."),
    ),
    # Calls are accepted, but something should be corrected.
    "clock_skew": Cause(
        80,
        _lt("The clocks differ"),
        _lt("Correct this machine's clock. One-time codes and dates depend on it."),
    ),
    "address_is_the_proxys": Cause(
        81,
        _lt("Odoo sees the address of a proxy instead of yours"),
        _lt(
            "Configure the proxy to send X-Forwarded-For and turn on proxy_mode in Odoo. "
            "Otherwise, allowed networks cannot distinguish calls."
        ),
    ),
    "database_header_stripped": Cause(
        82,
        _lt("The X-Odoo-Database header does not reach Odoo"),
        _lt("Configure the proxy to pass it on."),
    ),
    "certificate_ending": Cause(
        83,
        _lt("The certificate expires soon"),
        _lt("Ask the server administrator to renew it."),
    ),
    "key_ending": Cause(
        84,
        _lt("The key should be rotated now"),
        _lt("Ask an owner to rotate it before it expires."),
    ),
    "doctor_failed": Cause(
        99,
        _lt("doctor.py failed"),
        _lt("Report this output. It does not contain the key."),
    ),
}

# ``exchange`` is the request and the status of its response that the step is about.
Step = namedtuple("Step", "check ok cause seen meaning remedy exchange")


class Stop(Exception):
    """No further checks are possible."""


class Unreachable(Exception):
    """A connection failed; the arguments are the cause and what was seen."""


class Answer:
    """An HTTP response, of which at most 1 MB is read."""

    def __init__(self, status, headers, body, local_address, exchange):
        self.status, self.headers, self.body = status, headers, body
        self.local_address, self.exchange = local_address, exchange

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def message(self):
        """The error message in a response of /json/2, or ''."""
        reply = self.json
        return str(reply.get("message", "")) if isinstance(reply, dict) else ""

    @property
    def summary(self):
        # The title and the heading of an error page repeat the status.
        text = re.sub(r"(?s)<title>.*?</title>|<h1>.*?</h1>|<[^>]*>", " ", self.text[:4000])
        words = textwrap.shorten(self.message or text, 120, placeholder="…")
        reference = self.headers.get("X-Auth-Reference")
        return "{} {}{}".format(
            self.status, words, " (reference {})".format(reference) if reference else ""
        ).strip()


class Line:
    """Sends requests to one server: a new connection for each, and no redirect is followed."""

    def __init__(self, url, ca_file=None, timeout=TIMEOUT, source=None):
        self.url = url
        self.host, self.port = url.hostname, url.port or (443 if url.scheme == "https" else 80)
        self.timeout, self.source = timeout, (source, 0) if source else None
        self.context = None
        self.certificate = None
        self.exchange = ""
        if url.scheme == "https":
            self.context = ssl.create_default_context(cafile=ca_file)

    def send(self, method, path, body=None, headers=None):
        """Send a request.

        :raise Unreachable: there was no response
        """
        self.exchange = "{} {}{} → no response".format(method, self.url.path, path)
        if self.context:
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=self.timeout, source_address=self.source,
                context=self.context,
            )
        else:
            connection = http.client.HTTPConnection(
                self.host, self.port, timeout=self.timeout, source_address=self.source
            )
        try:
            connection.connect()
            if self.context:
                self.certificate = connection.sock.getpeercert()
            local_address = connection.sock.getsockname()[0]
            connection.request(
                method, self.url.path + path, body, dict({"User-Agent": AGENT}, **(headers or {}))
            )
            answer = connection.getresponse()
            self.exchange = self.exchange.replace("no response", str(answer.status))
            return Answer(
                answer.status, answer.headers, answer.read(1 << 20), local_address, self.exchange
            )
        except Exception as error:
            raise Unreachable(*connection_cause(error)) from None
        finally:
            connection.close()


def connection_cause(error):
    """The cause of a failed connection, and what was seen."""
    if isinstance(error, socket.gaierror):
        return "host_unknown", str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        code = {
            9: "tls_not_yet_valid", 10: "tls_expired", 62: "tls_wrong_host", 64: "tls_wrong_host",
        }.get(error.verify_code, "tls_untrusted")
        return code, error.verify_message
    if isinstance(error, ssl.SSLError):
        plain = error.reason in ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST")
        return "https_on_plain_port" if plain else "tls_failed", str(error.reason or error)
    if isinstance(error, socket.timeout):
        return "connection_timeout", "timed out"
    if isinstance(error, http.client.HTTPException):
        return "not_odoo", "no HTTP response ({})".format(type(error).__name__)
    return "connection_refused", "{} {}".format(type(error).__name__, error)


class Doctor:
    """One run through all checks."""

    def __init__(self, options, secret, authorization):
        self.options = options
        self.db, self.login = options.db or "", options.login or ""
        self.session_id = (options.session_id or "").strip()
        self.raw_secrets = {text for text in (secret, authorization, self.session_id) if text}
        self.secret, self.authorization = secret, authorization
        self.steps = []
        self.line = None
        self.valid_key = None  # what verify says; None when it was not or could not be asked
        self.local_address = None
        self.identified = False
        self.open_protocols = []
        self.opened_session = None
        self.unexplained = None  # the protocol that rejected a secret, and its response
        self.unknown = None  # the response of verify about a key that it does not know
        self.address_checked = False

    # Reporting

    def redact(self, text):
        """The text without the key, in whatever form it was given."""
        text = str(text)
        for raw in sorted(self.raw_secrets, key=len, reverse=True):
            for form in {raw, raw.strip(), raw.strip().strip("\"'"), urllib.parse.quote(raw)}:
                if len(form) >= 4:
                    text = text.replace(form, "[key]")
        if self.secret and len(self.secret) >= 4:
            text = text.replace(self.secret, "[key]")
        return re.sub(r"[0-9a-fA-F]{40,}", "[key]", text)

    def note(self, check, ok, seen, cause=None, meaning=None, answer=None):
        """Record a step.

        ``ok`` is True, False, or None for a warning. ``answer`` is the response that the step is
        about, needed if other calls were made after it.
        """
        known = CAUSES.get(cause)
        last = answer or self.line
        self.steps.append(
            Step(
                check, ok, cause, self.redact(seen),
                self.redact(meaning or (known.title if known else "")),
                known.remedy if known else "",
                self.redact(last.exchange) if last else "",
            )
        )

    def good(self, check, seen):
        self.note(check, True, seen)

    def bad(self, check, cause, seen, meaning=None, answer=None):
        self.note(check, False, seen, cause, meaning, answer)

    def warn(self, check, cause, seen, meaning=None):
        self.note(check, None, seen, cause, meaning)

    def fatal(self, check, cause, seen, meaning=None, answer=None):
        self.bad(check, cause, seen, meaning, answer)
        raise Stop

    @property
    def cause(self):
        """The first cause that makes calls fail, else that of the first warning, or None."""
        for wanted in (False, None):
            for step in self.steps:
                if step.ok is wanted and step.cause:
                    return step.cause
        return None

    @property
    def exit_code(self):
        return CAUSES[self.cause].exit_code if self.cause else 0

    # Running the checks

    def run(self):
        """Run the checks until one makes the others pointless."""
        try:
            self.check_settings()
            self.check_connection()
            self.check_endpoints()
            self.check_database()
            self.check_authorization_arrives()
            self.check_session_id()
            self.check_credentials()
        except Stop:
            pass
        except Unreachable as failed:
            self.bad("connection", failed.args[0], failed.args[1])
        return self.exit_code

    # Settings

    def check_settings(self):
        url = self.check_url()
        self.line = Line(
            url, self.options.ca_file, self.options.timeout, self.options.source_address
        )
        self.check_authorization_setting()
        self.check_key_setting()
        self.check_uid_setting()
        for name in ("db", "login"):
            value = getattr(self, name)
            if value != value.strip():
                self.warn(
                    "settings", "url_invalid", name + " has a space around it",
                    "The {} has a space or line break around it".format(name),
                )
                setattr(self, name, value.strip())
        if re.match(r"^[0-9a-fA-F]{40}$", self.login):
            self.raw_secrets.add(self.login)
            self.fatal("settings", "login_is_a_key", "the login has 40 hexadecimal characters")

    def check_url(self):
        """Return the base URL, without an API path, which does not belong in it."""
        text = self.options.url.strip()
        if "@" in text.partition("//")[2].partition("/")[0]:
            self.fatal("settings", "url_invalid", "user or password in the URL")
        if not re.match(r"^https?://[^/\s]+", text):
            self.fatal("settings", "url_invalid", text)
        url = urllib.parse.urlsplit(text)
        try:
            url.port  # noqa: B018 (raises when it is no number)
        except ValueError:
            self.fatal("settings", "url_invalid", "the port is not a number")
        base, path = split_api_path(url.path)
        cause = path_cause(path)
        if cause:
            self.bad("settings", cause, "path " + path)
        elif path:
            self.good("settings", "path {} belongs to Odoo's API".format(path))
        if "//" in url.path:
            self.bad("settings", "path_doubled", "path " + url.path, "The path has two slashes")
        return url._replace(path=base, query="", fragment="")

    def check_authorization_setting(self):
        if not self.authorization:
            return
        text = re.sub(r"^\s*authorization\s*:", "", self.authorization, flags=re.I).strip()
        words = text.split(None, 1)
        if not words:
            self.fatal("settings", "header_malformed", "the header is empty")
        if words[0].lower() == "bearer" and len(words) == 2:
            self.good("settings", "the header begins with Bearer")
            self.secret = words[1]
        elif len(words) == 1 and words[0].lower() != "bearer":
            self.bad("settings", "header_without_bearer", "the word Bearer is missing")
            self.secret = words[0]
        else:
            scheme = words[0] if words[0].lower() in ("basic", "token", "bearer") else "another"
            self.fatal("settings", "header_malformed", "the scheme is {}".format(scheme))
        self.raw_secrets.add(self.secret)

    def check_key_setting(self):
        """Report what is wrong with the given key, and continue with what was probably meant."""
        given = self.secret
        if not given or not given.strip():
            if self.options.no_key or self.session_id:
                self.secret = None
                return
            self.fatal("settings", "key_missing", "the key is empty")
        key = self.without_slips(given)
        self.secret = key
        self.raw_secrets.add(key)
        if is_key(key) and self.protocols == ("session",):
            self.fatal("settings", "session_needs_password", "this is a key")
        elif is_key(key):
            self.good("settings", "the key has the correct format")
        elif re.match(r"^[0-9a-fA-F]{12,}$", key):
            self.fatal(
                "settings", "key_cut_off",
                "{} hexadecimal characters instead of 40".format(len(key)),
            )
        elif not re.match(r"^[\x20-\x7e]*$", key) and self.options.protocol == "json2":
            self.fatal("settings", "key_invisible_characters", "characters that are not ASCII")
        else:
            self.good("settings", "this is not a key, so it is used as a password")

    def check_uid_setting(self):
        """Check the user ID that the external system uses, if it is stored."""
        uid = self.options.uid
        if uid is None:
            return
        if uid.strip().lower() in NO_USER_ID:
            self.bad("settings", "authenticate_skipped", "the user ID is {!r}".format(uid.strip()))
        elif not uid.strip().isdigit():
            self.bad("settings", "uid_wrong", "not a number", "The user ID is not a number")
        else:
            self.good("settings", "the user ID is a number")

    def without_slips(self, given):
        """The key that was probably meant; each mistake is reported."""
        key = given.strip()
        if key != given:
            what = "a line break" if given.rstrip("\r\n") != given else "a space"
            self.bad("settings", "key_whitespace", what + " around the key")
        if re.match(r"(?i)bearer\s+\S", key):
            self.bad("settings", "key_with_scheme", "it begins with Bearer")
            key = key.split(None, 1)[1]
        if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":
            self.bad("settings", "key_quoted", "quotes around the key")
            key = key[1:-1]
        joined = re.sub(r"\s+", "", key)
        if joined != key and is_key(joined):
            self.bad("settings", "key_whitespace", "a space or line break inside the key")
            key = joined
        visible = re.sub(r"[^\x21-\x7e]", "", key)
        if visible != key and is_key(visible):
            self.bad("settings", "key_invisible_characters", "characters that are not ASCII")
            key = visible
        return key

    # Connection

    def check_connection(self):
        """Check that the server can be reached and is an Odoo server."""
        before = time.time()
        try:
            answer = self.line.send("GET", "/web/version")
        except Unreachable as failed:
            cause, seen = failed.args
            if cause == "not_odoo" and not self.line.context and self.speaks_tls():
                cause = "http_instead_of_https"
            if cause == "tls_failed" and self.speaks_plain():
                cause = "https_on_plain_port"
            self.fatal("connection", cause, seen)
        self.local_address = answer.local_address
        self.check_certificate()
        self.check_redirect("connection", answer)
        if answer.status == 400 and "https" in answer.text.lower():
            self.fatal("connection", "http_instead_of_https", answer.summary)
        if answer.status in (502, 503, 504):
            self.fatal("connection", "server_unavailable", answer.summary)
        reply = answer.json
        if answer.status == 200 and isinstance(reply, dict) and "version" in reply:
            self.good("connection", "Odoo {} responds".format(str(reply["version"])[:40]))
            self.identified = True
        # Otherwise, check_endpoints identifies it: a proxy may pass on only the API paths.
        self.check_clock(answer, before)

    def speaks_tls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection(
                (self.line.host, self.line.port), self.line.timeout, self.line.source
            ) as plain, context.wrap_socket(plain, server_hostname=self.line.host):
                return True
        except OSError:
            return False

    def speaks_plain(self):
        plain = Line(
            self.line.url._replace(scheme="http", netloc="{}:{}".format(
                "[{}]".format(self.line.host) if ":" in self.line.host else self.line.host,
                self.line.port,
            )),
            timeout=self.line.timeout,
            source=self.line.source and self.line.source[0],
        )
        try:
            plain.send("GET", "/web/version")
        except Unreachable:
            return False
        return True

    def check_certificate(self):
        if not self.line.certificate:
            return
        ends = ssl.cert_time_to_seconds(self.line.certificate["notAfter"])
        days = int((ends - time.time()) // 86400)
        seen = "the certificate is valid for {} days".format(days)
        if days < CERTIFICATE_NOTICE:
            self.warn("certificate", "certificate_ending", seen)
        else:
            self.good("certificate", seen)

    def check_redirect(self, check, answer):
        """Stop if a simple page is redirected: all calls would be redirected, too."""
        if answer.status not in (301, 302, 303, 307, 308):
            return
        location = answer.headers.get("Location", "")
        here = self.line.url
        there = urllib.parse.urlsplit(urllib.parse.urljoin(here.geturl() or "/", location))
        seen = "{} to {}://{}{}".format(
            answer.status, there.scheme, there.netloc.rpartition("@")[2], there.path
        )
        if (there.hostname or "").lower() != (here.hostname or "").lower():
            self.fatal(check, "redirect_to_other_host", seen)
        if (here.scheme, there.scheme) == ("http", "https"):
            self.fatal(check, "http_instead_of_https", seen)
        self.fatal(check, "redirect_to_other_path", seen)

    def check_clock(self, answer, before):
        reply = answer.headers.get("Date")
        try:
            server = email.utils.parsedate_to_datetime(reply).timestamp()
        except (TypeError, ValueError):
            return
        here = (before + time.time()) / 2
        skew = int(round(server - here))
        if abs(skew) > MAX_SKEW:
            self.warn(
                "clock", "clock_skew", "the server's clock is {} s {}".format(
                    abs(skew), "ahead" if skew > 0 else "behind"
                ),
            )
        else:
            self.good("clock", "{} s difference".format(abs(skew)))

    # Endpoints

    @property
    def protocols(self):
        if self.options.protocol:
            return (self.options.protocol,)
        in_session = self.session_id or (self.secret and not is_key(self.secret))
        return PROTOCOLS if in_session else KEY_PROTOCOLS

    def check_endpoints(self):
        """Call each protocol without a secret and check that the response is Odoo's."""
        self.open_protocols = []
        for protocol in self.protocols:
            answer = self.call_empty(protocol)
            if protocol == "session" and not self.is_odoos(protocol, answer) and not (
                self.session_id or self.options.protocol
            ):
                continue  # many proxies pass on only the API, and sessions were not asked for
            if self.is_odoos(protocol, answer):
                self.good("endpoint " + protocol, "Odoo responds")
                self.open_protocols.append(protocol)
                self.identified = True
                continue
            self.check_post_redirect(protocol, answer)
            if answer.status in (502, 503, 504):
                cause = "server_unavailable"
            elif self.identified or answer.status in (401, 403, 405):
                cause = "path_blocked"
            else:
                cause = "not_odoo"
            self.bad("endpoint " + protocol, cause, answer_line(answer))
        if not self.open_protocols:
            raise Stop

    def call_empty(self, protocol):
        path = PATHS[protocol]
        if protocol == "json2":
            return self.call_json2("res.users", "context_get", database=self.db)
        if protocol == "xmlrpc":
            body = xmlrpc.client.dumps((), "version").encode()
            return self.line.send("POST", path, body, {"Content-Type": "text/xml"})
        if protocol == "session":
            return self.call_route(path, {})
        return self.call_jsonrpc("common", "version", [])

    def is_odoos(self, protocol, answer):
        if protocol == "xmlrpc":
            return answer.status == 200 and "<methodResponse>" in answer.text
        reply = answer.json
        if protocol in ("jsonrpc", "session"):
            return answer.status == 200 and isinstance(reply, dict) and "jsonrpc" in reply
        return is_without_database(answer) or (
            isinstance(reply, dict) and "message" in reply and "name" in reply
        )

    def check_post_redirect(self, protocol, answer):
        if answer.status not in (301, 302, 303, 307, 308):
            return
        seen = "{} to {}".format(answer.status, answer.headers.get("Location", "?"))
        there = urllib.parse.urlsplit(answer.headers.get("Location", ""))
        other_host = there.hostname and there.hostname.lower() != self.line.host.lower()
        if answer.status in (301, 302, 303):
            self.fatal("endpoint " + protocol, "redirect_drops_body", seen)
        if other_host:
            self.fatal("endpoint " + protocol, "redirect_drops_authorization", seen)
        self.fatal("endpoint " + protocol, "redirect_to_other_path", seen)

    def call_json2(self, model, method, key=None, database=None, authorization=None):
        headers = {"Content-Type": "application/json"}
        if database:
            headers["X-Odoo-Database"] = database
        if key:
            authorization = "Bearer " + key
        if authorization:
            headers["Authorization"] = authorization
        return self.line.send("POST", "/json/2/{}/{}".format(model, method), b"{}", headers)

    def call_jsonrpc(self, service, method, args):
        params = {"service": service, "method": method, "args": args}
        return self.call_route(PATHS["jsonrpc"], params)

    def call_route(self, path, params, session_id=None):
        body = json.dumps({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params}).encode()
        headers = {"Content-Type": "application/json"}
        if session_id:
            headers["Cookie"] = "session_id=" + session_id
        return self.line.send("POST", path, body, headers)

    def call_in_session(self, session_id):
        params = {"model": "res.users", "method": "context_get", "args": [], "kwargs": {}}
        return self.call_route("/web/dataset/call_kw", params, session_id)

    # Database

    def check_database(self):
        if "json2" in self.open_protocols:
            self.check_database_by_header()
        elif not self.db:
            self.fatal("database", "database_missing", "no database is given")
        elif not self.database_exists(self.db):
            self.check_swapped()
            self.fatal("database", "database_unknown", "this database does not exist")
        else:
            self.good("database", "the database exists")

    def check_database_by_header(self):
        answer = self.call_json2("res.users", "context_get", database=self.db)
        if not is_without_database(answer):
            if not self.db and self.options.protocol != "json2":
                self.warn(
                    "database", "database_missing", "Odoo selected the database by host name",
                    "XML-RPC and JSON-RPC always need a database",
                )
            else:
                self.good("database", "the database exists" if self.db else "selected by host name")
            if self.db:
                self.check_header_arrives()
            return
        if not self.db:
            self.fatal("database", "database_missing", answer.summary)
        self.check_swapped()
        rpc = [protocol for protocol in self.open_protocols if protocol != "json2"]
        if rpc and self.database_exists(self.db):
            if self.options.protocol == "json2" or len(self.open_protocols) == 1:
                self.fatal("database", "database_not_selected", answer.summary, answer=answer)
            self.bad("database", "database_not_selected", answer.summary, answer=answer)
            self.open_protocols = rpc
            return
        self.fatal("database", "database_unknown", answer.summary, answer=answer)

    def check_header_arrives(self):
        answer = self.call_json2("res.users", "context_get", database=NO_SUCH_DATABASE)
        if is_without_database(answer):
            return
        self.warn(
            "database", "database_header_stripped",
            "a nonexistent database is answered with {}".format(answer.summary),
        )

    def check_swapped(self):
        if not self.login or not re.match(r"^[\x21-\x7e]+$", self.login):
            return
        if "json2" in self.open_protocols:
            answer = self.call_json2("res.users", "context_get", database=self.login)
            served = not is_without_database(answer)
        else:
            served = self.database_exists(self.login)
        if served:
            self.fatal("database", "login_database_swapped", "a database has the name of the login")

    def database_exists(self, name):
        """Whether the database exists: asks over RPC, without login and secret."""
        answer = self.authenticate(name, "", "")
        return isinstance(answer, (bool, int)) or answer.startswith("rejected")

    # Credentials

    def check_authorization_arrives(self):
        """Send an invalid Authorization header: Odoo's response differs from that to no header."""
        if "json2" not in self.open_protocols:
            return
        answer = self.call_json2(
            "res.users", "context_get", database=self.db, authorization="Bearer doctor"
        )
        if answer.status == 401 and "not authenticated" in answer.message:
            self.bad("authorization header", "authorization_stripped", answer.summary)
            self.open_protocols.remove("json2")
            if not self.open_protocols:
                raise Stop
        elif answer.status != 401:
            self.fatal("authorization header", "path_blocked", answer.summary)
        else:
            self.good("authorization header", "the header reaches Odoo")

    def check_credentials(self):
        if not self.secret:
            return
        if not self.may_send():
            self.fatal("key", "plain_http", "unencrypted connection to another machine")
        if is_key(self.secret):
            self.check_key_state()
        elif self.protocols == ("json2",):
            self.fatal("key", "password_over_json2", "this is not a key")
        if "json2" in self.open_protocols and is_key(self.secret):
            self.check_json2()
        for protocol in ("xmlrpc", "jsonrpc", "session"):
            if protocol in self.open_protocols and self.may_log_in(protocol):
                self.check_rpc(protocol)
        self.explain_unknown()

    def may_log_in(self, protocol):
        """Whether to try it: failed session logins make Odoo block logins from this address."""
        if protocol != "session" or self.options.protocol == "session":
            return True
        return not is_key(self.secret) and not self.unexplained

    def check_session_id(self):
        """Make a call in the session of the external system."""
        if not self.session_id or "session" not in self.open_protocols:
            return
        if not self.may_send():
            self.fatal("session", "plain_http", "unencrypted connection to another machine")
        answer = self.call_in_session(self.session_id)
        reply = answer.json
        if isinstance(reply, dict) and "result" in reply:
            self.good("session", "the session works")
        elif is_without_database(answer) or error_of(answer).get("code") == SESSION_EXPIRED:
            self.bad("session", "session_expired", answer_line(answer))
        else:
            self.bad("session", "path_blocked", answer.summary)

    def may_send(self):
        if self.line.context or self.options.send_over_http:
            return True
        try:
            return ipaddress.ip_address(self.local_address.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def check_key_state(self):
        """Ask for the state of the key; only the holder of the right key gets an answer."""
        headers = {"Authorization": "Bearer " + self.secret}
        if self.db:
            headers["X-Odoo-Database"] = self.db
        answer = self.line.send("POST", "/auth_integration/verify", b"", headers)
        reply = answer.json
        if answer.status == 200 and isinstance(reply, dict) and "valid" in reply:
            self.valid_key = reply
            if reply["valid"]:
                state = KEY_STATES.get(reply["state"], reply["state"])
                self.good("key", "the key is {}".format(state))
                self.check_key_end(reply.get("expires_at"))
            elif reply["cause"] == "channel_not_allowed":
                pass  # verify counts as a protocol of its own; others may be allowed
            else:
                cause = reply["cause"] if reply["cause"] in CAUSES else "refused"
                seen = "verify: {} (reference {})".format(reply["cause"], reply["reference"])
                self.fatal("key", cause, seen, self.end_meaning(reply, cause))
        elif answer.status == 429:
            self.warn("key", "verify_limited", answer.summary)
        elif answer.status == 401:
            self.valid_key = False
            self.unknown = answer

    def end_meaning(self, reply, cause):
        ended = ("key_expired", "key_revoked", "key_superseded", "key_copied")
        if cause in ended and reply.get("expires_at"):
            return "{}, on {} UTC".format(CAUSES[cause].title, reply["expires_at"])
        return None

    def check_key_end(self, expires_at):
        try:
            ends = datetime.datetime.strptime(expires_at, "%Y-%m-%d %H:%M:%S")
        except (TypeError, ValueError):
            return
        days = (ends - datetime.datetime.utcnow()).days
        if days < 7:
            self.warn("key", "key_ending", "the key expires on {} UTC".format(expires_at))

    def check_json2(self):
        answer = self.call_json2(
            "auth.integration.key", "whoami", key=self.secret, database=self.db
        )
        if answer.status == 404:  # an Odoo server without the add-on
            answer = self.call_json2("res.users", "context_get", self.secret, self.db)
        if answer.status == 200:
            self.good("json2", "accepted")
            self.check_address(answer.json)
            return
        self.note_refusal("json2", answer)

    def note_refusal(self, protocol, answer):
        """Report the rejection of a valid key; that of an unknown secret is explained last."""
        seen = answer.summary if isinstance(answer, Answer) else str(answer)
        if isinstance(self.valid_key, dict):
            # If verify accepts the key and a call is then rejected, only the protocol can be the
            # cause.
            same = isinstance(answer, Answer) and answer.status == 401
            cause = self.valid_key["cause"] or ("channel_not_allowed" if same else "refused")
            if cause not in CAUSES:
                cause = "refused"
            self.bad(protocol, cause, seen)
        elif self.valid_key is None and protocol == "json2":
            self.bad(protocol, "key_unknown", seen)
        else:
            self.unexplained = (protocol, seen)

    def check_rpc(self, protocol):
        if not self.login and not self.given_uid:
            if self.options.protocol:
                self.fatal(protocol, "login_missing", "no login is given")
            return
        if not self.db:
            self.bad(protocol, "database_missing", "no database is given")
            return
        if not self.login:
            self.check_call(protocol, self.given_uid)
            return
        uid = self.authenticate(self.db, self.login, self.secret, protocol)
        if uid is None:
            self.bad(protocol, "second_factor_needed", "the password alone is not enough")
            return
        if isinstance(uid, bool) or not isinstance(uid, int):
            seen = "authenticate returned {}".format(str(uid)[:160])
            if isinstance(self.valid_key, dict) and self.valid_key["valid"]:
                owner = self.valid_key.get("integration")
                self.bad(
                    protocol, "login_wrong", seen,
                    "The key is valid but belongs to {}".format(
                        "the integration {}".format(owner) if owner else "another user"
                    ),
                )
            else:
                self.note_refusal(protocol, seen)
            return
        self.check_uid(protocol, uid)
        if protocol == "session":
            self.check_session(uid)
            return
        answer = self.execute(protocol, uid, "auth.integration.key", "whoami")
        self.good(protocol, "accepted, user ID {}".format(uid))
        if isinstance(answer, dict):
            self.check_address(answer)

    def check_call(self, protocol, uid):
        """Call with the stored user ID, without asking for it first."""
        answer = self.execute(protocol, uid, "auth.integration.key", "whoami")
        if not isinstance(answer, dict):  # a password, or an Odoo server without the add-on
            answer = self.execute(protocol, uid, "res.users", "context_get")
        if isinstance(answer, dict):
            self.good(protocol, "accepted, user ID {}".format(uid))
        elif isinstance(self.valid_key, dict) and self.valid_key["valid"]:
            self.bad(protocol, "uid_wrong", str(answer)[:160])
        else:
            self.note_refusal(protocol, answer)

    @property
    def given_uid(self):
        """The user ID that the external system uses, or None."""
        given = (self.options.uid or "").strip()
        return int(given) if given.isdigit() and int(given) else None

    def check_uid(self, protocol, uid):
        """Compare the user ID of the external system with the one that authenticate returns."""
        if self.given_uid and self.given_uid != uid:
            seen = "authenticate returned {}, but your system uses {}".format(uid, self.given_uid)
            self.bad(protocol, "uid_wrong", seen)

    def check_session(self, uid):
        """Make a call in the session that was just opened, then end the session."""
        if not self.opened_session:
            self.bad("session", "session_cookie_lost", "the login response sets no cookie")
            return
        answer = self.call_in_session(self.opened_session)
        reply = answer.json
        if isinstance(reply, dict) and "result" in reply:
            self.good("session", "accepted, user ID {}".format(uid))
        elif error_of(answer).get("code") == SESSION_EXPIRED:
            self.bad("session", "session_cookie_lost", answer_line(answer))
        else:
            self.bad("session", "path_blocked", answer.summary)
        self.call_route("/web/session/destroy", {}, self.opened_session)

    def explain_unknown(self):
        """Finally, report what is known about a secret that was rejected without a reason."""
        refused = self.unexplained
        if self.valid_key is False and is_key(self.secret):
            if any(step.ok and step.seen.startswith("accepted") for step in self.steps):
                return
            seen = "verify returned " + self.unknown.summary
            self.bad("key", "key_unknown", seen, answer=self.unknown)
        elif refused and is_key(self.secret):
            self.bad(refused[0], "login_or_secret_wrong", refused[1])
        elif refused:
            self.explain_password(*refused)

    def explain_password(self, protocol, seen):
        """Report what is known about a rejected password: Odoo does not say which part is wrong."""
        meant = self.login.lower()
        if meant != self.login:
            uid = self.authenticate(self.db, meant, self.secret, protocol)
            if isinstance(uid, int) and not isinstance(uid, bool):
                self.bad(
                    protocol, "login_wrong", seen, "The login must be in lowercase letters"
                )
                return
        self.bad(protocol, "password_wrong", seen)

    def check_address(self, reply):
        """Compare the address that Odoo sees with the one this machine called from."""
        seen = isinstance(reply, dict) and reply.get("remote_addr")
        if not seen or self.address_checked:
            return
        self.address_checked = True
        text = "Odoo sees {}, this machine called from {}".format(seen, self.local_address)
        try:
            theirs = ipaddress.ip_address(seen)
            ours = ipaddress.ip_address(self.local_address.partition("%")[0])
        except ValueError:
            return
        ours = getattr(ours, "ipv4_mapped", None) or ours
        # Address translation on the way to the internet gives a public address; a proxy's is
        # private.
        if theirs != ours and (ours.is_loopback or theirs.is_private or theirs.is_loopback):
            self.warn("address", "address_is_the_proxys", text)
        else:
            self.good("address", text)

    # RPC

    def authenticate(self, database, login, secret, protocol=None):
        """The user ID, False, or the text of a fault."""
        protocol = protocol or next(p for p in self.open_protocols if p != "json2")
        if protocol == "session":
            return self.open_session(database, login, secret)
        return self.rpc(protocol, "common", "authenticate", [database, login, secret, {}])

    def open_session(self, database, login, secret):
        """Log in as a browser does.

        :return: the user ID; None if a second factor is needed; otherwise the text of the response
        """
        params = {"db": database, "login": login, "password": secret}
        answer = self.call_route("/web/session/authenticate", params)
        reply = answer.json
        if isinstance(reply, dict) and isinstance(reply.get("result"), dict):
            cookies = answer.headers.get_all("Set-Cookie") or []
            found = re.search(r"\bsession_id=([^;,\s]+)", ", ".join(cookies))
            self.opened_session = found and found.group(1)
            if self.opened_session:
                self.raw_secrets.add(self.opened_session)
            return reply["result"].get("uid")
        name = str((error_of(answer).get("data") or {}).get("name", ""))
        if name.endswith(".AccessDenied"):
            return "rejected: " + answer_line(answer)
        return "not signed in: " + answer_line(answer)

    def execute(self, protocol, uid, model, method):
        args = [self.db, uid, self.secret, model, method, []]
        return self.rpc(protocol, "object", "execute_kw", args)

    def rpc(self, protocol, service, method, args):
        if protocol == "xmlrpc":
            try:
                body = xmlrpc.client.dumps(tuple(args), method).encode()
                answer = self.line.send(
                    "POST", "/xmlrpc/2/" + service, body, {"Content-Type": "text/xml"}
                )
                return xmlrpc.client.loads(answer.body)[0][0]
            except xmlrpc.client.Fault as fault:
                return "fault {}".format(last_line(fault.faultString))
            except Exception as error:
                if isinstance(error, Unreachable):
                    raise
                return "the response is not XML-RPC"
        reply = self.call_jsonrpc(service, method, args).json
        if not isinstance(reply, dict):
            return "the response is not JSON"
        if "error" in reply:
            data = reply["error"].get("data") or {}
            return "error {}".format(last_line(str(data.get("message", ""))))
        return reply.get("result", False)


def is_key(text):
    """Whether a text has the format of an Odoo API key."""
    return bool(re.match(r"^[0-9a-fA-F]{40}\Z", text or ""))


def is_without_database(answer):
    """Whether Odoo says that no database was selected."""
    return answer.status == 404 and "No database is selected" in answer.text


def last_line(text):
    return (text.strip().splitlines() or [""])[-1][:160]


def error_of(answer):
    """The error in a JSON-RPC response, or {}."""
    reply = answer.json
    error = reply.get("error") if isinstance(reply, dict) else None
    return error if isinstance(error, dict) else {}


def answer_line(answer):
    """A response as one line; of a JSON-RPC error, the status and the message only."""
    error = error_of(answer)
    if error:
        message = (error.get("data") or {}).get("message") or error.get("message")
        return "{} {}".format(answer.status, last_line(str(message)))
    return answer.summary[:80]


API_ROOT = re.compile(r"/(xmlrpc|jsonrpc|json2|json|web|odoo|api|rest|rpc)(?=/|$)")
COMPLETE = re.compile(
    r"^(/xmlrpc(/2)?/(common|object|db)|/jsonrpc|/json/2/[\w.]+/\w+)$"
)


def split_api_path(path):
    """Split a path into the part before Odoo's own path, and Odoo's own path."""
    path = re.sub(r"/+", "/", path).rstrip("/")
    found = API_ROOT.search(path)
    return (path[: found.start()], path[found.start() :]) if found else (path, "")


def path_cause(path):
    """The cause that an API path is wrong, or None."""
    if not path or COMPLETE.match(path):
        return None
    if len(re.findall(r"/(?:xmlrpc|jsonrpc|json)(?=/|$)", path)) > 1:
        return "path_doubled"
    if re.match(r"^/(web|odoo)(/|$)", path):
        return "url_is_web_page"
    if re.match(r"^(/xmlrpc(/2)?|/json(/2(/[\w.]+)?)?)$", path):
        return "path_incomplete"
    return "path_unknown"


def read_secret(options):
    """The key as given: it is not stripped, as a line break in it would be the cause."""
    if options.key_file:
        with open(options.key_file, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    if options.key_stdin:
        return sys.stdin.read()
    if options.key is not None:
        return options.key
    return os.environ.get("ODOO_KEY", os.environ.get("ODOO_API_KEY", ""))


def make_parser():
    """The options; those that rotate.py has, too, are the same there."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], epilog="See the top of this file for more."
    )
    parser.add_argument("url", nargs="?", default=os.environ.get("ODOO_URL"),
                        help="as in the settings of your system; default: ODOO_URL")
    parser.add_argument("--url", dest="url_option", metavar="URL", help="the same as an option")
    parser.add_argument("--db", default=os.environ.get("ODOO_DB"), help="default: ODOO_DB")
    parser.add_argument("--login", default=os.environ.get("ODOO_LOGIN"), help="default: ODOO_LOGIN")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--key-file", help="file that has the key and nothing else, mode 600. "
                        "It must exist. Without this option: ODOO_KEY")
    secret.add_argument("--key-stdin", action="store_true", help="read it from standard input")
    secret.add_argument("--key", help="other users of this machine can see it; prefer ODOO_KEY")
    secret.add_argument("--no-key", action="store_true", help="only check the connection to Odoo")
    parser.add_argument("--authorization", default=os.environ.get("ODOO_AUTHORIZATION"),
                        help="the header your system sends; prefer ODOO_AUTHORIZATION")
    parser.add_argument("--uid", default=os.environ.get("ODOO_UID"),
                        help="the user ID your system uses, if it is stored; default: ODOO_UID")
    parser.add_argument("--session-id", default=os.environ.get("ODOO_SESSION_ID"),
                        help="the session ID of your system, as --session-id=ID; "
                        "prefer ODOO_SESSION_ID")
    parser.add_argument("--protocol", choices=PROTOCOLS,
                        help="protocol of your system; without it, each is called")
    parser.add_argument("--ca-file", help="certificates to trust")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds (30)")
    parser.add_argument("--source-address", help="address of this machine to call from")
    parser.add_argument("--send-over-http", action="store_true",
                        help="send the key even over an unencrypted connection")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--list-causes", action="store_true", help="print all causes and exit")
    return parser


def parse(arguments):
    """The command line options, with defaults from environment variables."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    options.url = options.url_option or options.url
    if not options.url and not options.list_causes:
        parser.error("enter a URL as an argument or in ODOO_URL")
    return options


def as_json(doctor):
    return json.dumps(
        {
            "doctor": VERSION,
            "ok": not doctor.cause,
            "cause": doctor.cause,
            "exit_code": doctor.exit_code,
            "steps": [step._asdict() for step in doctor.steps],
        },
        indent=2,
    )


def as_text(doctor):
    lines = []
    for step in doctor.steps:
        mark = {True: "ok  ", False: "FAIL", None: "note"}[step.ok]
        lines.append("{} {}: {}".format(mark, step.check, step.seen))
        if step.cause:
            if step.exchange:
                lines.append("     from:  {}".format(step.exchange))
            lines.append("     means: {} [{}]".format(step.meaning, step.cause))
            lines.append("     do:    {}".format(step.remedy))
    lines.append("")
    if doctor.cause:
        lines.append("Cause: {} [{}]".format(CAUSES[doctor.cause].title, doctor.cause))
        lines.append("Do:    {}".format(CAUSES[doctor.cause].remedy))
    else:
        lines.append("No problem found. Calls with these settings are accepted.")
    return "\n".join(lines)


def main(arguments=None):
    """Run the checks and print the results.

    :return: the exit code
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = parse(arguments)
    if options.list_causes:
        for code, cause in CAUSES.items():
            print("{:3} {:28} {}".format(cause.exit_code, code, cause.title))
        return 0
    try:
        secret = "" if options.no_key else read_secret(options)
    except OSError as error:
        print("error: the key file cannot be read: {}".format(error.strerror), file=sys.stderr)
        return 2
    doctor = Doctor(options, secret, options.authorization)
    try:
        doctor.run()
    except Exception as error:  # of any kind: a traceback might show the key
        doctor.bad(
            "doctor", "doctor_failed", "{} in line {}".format(
                type(error).__name__, error.__traceback__.tb_lineno
            ),
        )
    print(as_json(doctor) if options.json else as_text(doctor))
    return doctor.exit_code


if __name__ == "__main__":
    sys.exit(main())
