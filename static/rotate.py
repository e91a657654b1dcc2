#!/usr/bin/env python3
"""Replace an Odoo API key before it expires. Run it on the host that calls Odoo.

One file, standard library only, Python 3.8 or newer. Run it with cron at least once a day:

    17 4 * * *  python3 /opt/odoo/rotate.py https://odoo.example.com --db main --key-file /etc/key

It checks the key in the file with Odoo. If rotation has not started, it does nothing. Otherwise,
it fetches the new key, saves it next to the file, and verifies it with a call. Then it replaces
the file atomically with mode 600. If anything fails, the current key stays in place. It keeps
working until the new key is used. If a run is interrupted, the next one completes it. Run as root,
it acts as the owner of the file's folder and follows no links.

With --command, the new key is passed to the standard input of a command instead of a file, for
example for a vault. The current key is then read from the environment variable ODOO_KEY or from
--key-file.

Odoo accepts calls from an address that the integration has used for a week. For other addresses,
use a second factor: --totp-file is the file with the seed in base32.

Exit codes: 0 rotated, or rotation has not started; 1 failed, and the next run will try again;
2 you need to act: an option is wrong, or the key was rejected, was replaced elsewhere, or is one
that is not rotated.
"""

import argparse
import base64
import contextlib
import errno
import hashlib
import hmac
import http.client
import json
import os
import secrets
import ssl
import stat
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

TRIES = 4
TIMEOUT = 30  # seconds
TOTP_STEP = 30  # seconds


class Later(Exception):
    """Not possible now; the next run will try again."""


class Look(Exception):
    """Someone needs to act."""


class Refused(Exception):
    """Odoo responded with an error, whose message is the text."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirects, so that a key is only sent to the given address."""

    def redirect_request(self, *args, **kwargs):
        return None


class HttpHandler(urllib.request.HTTPHandler):
    """HTTP connections from a given address of this machine."""

    def __init__(self, source):
        super().__init__()
        self._source = source

    def http_open(self, request):
        return self.do_open(http.client.HTTPConnection, request, source_address=self._source)


class HttpsHandler(urllib.request.HTTPSHandler):
    """HTTPS connections from a given address of this machine."""

    def __init__(self, source, context):
        super().__init__(context=context)
        self._source, self._tls = source, context

    def https_open(self, request):
        return self.do_open(
            http.client.HTTPSConnection, request, source_address=self._source, context=self._tls
        )


class Odoo:
    """The JSON-2 API of one Odoo database."""

    def __init__(self, url, database=None, timeout=TIMEOUT, ca_file=None, source_address=None):
        self.url, self.database, self.timeout = url.rstrip("/"), database, timeout
        source = (source_address, 0) if source_address else None
        context = ssl.create_default_context(cafile=ca_file)
        self._opener = urllib.request.build_opener(
            NoRedirect, HttpHandler(source), HttpsHandler(source, context)
        )

    def call(self, key, method, **arguments):
        """Call a method of ``auth.integration.key`` with a key.

        :raise Refused: Odoo responded with an error
        :raise OSError: there was no response from Odoo
        """
        headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
        if self.database:
            headers["X-Odoo-Database"] = self.database
        request = urllib.request.Request(
            self.url + "/json/2/auth.integration.key/" + method,
            json.dumps(arguments).encode(),
            headers,
        )
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                return json.loads(answer.read().decode())
        except urllib.error.HTTPError as error:
            if error.code >= 500 and error.code != 500:
                raise ConnectionError(f"HTTP {error.code}") from None  # a proxy in between
            raise Refused(error.code, _message(error)) from None
        except ValueError:
            raise ConnectionError("the response is not JSON; check the URL of Odoo") from None


def _message(error):
    try:
        return json.loads(error.read().decode())["message"]
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP {error.code}"


def again_while_broken(act, what):
    """Call a function, repeating it when connections fail.

    :raise Later: the last of ``TRIES`` tries failed
    """
    for attempt in range(TRIES):
        if attempt:
            time.sleep(2**attempt)
        try:
            return act()
        except OSError as error:
            problem = error
    raise Later(f"{what}: {problem}")


# Files ------------------------------------------------------------------------------------------


FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
# Without waiting: a pipe in place of the file has nobody at its other end.
FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
LINK_FOUND = (errno.ELOOP, errno.EMLINK, errno.ENOTDIR)


@contextlib.contextmanager
def folder_of(path):
    """Open the folder of a file: a descriptor of it, and the name of the file in it.

    Whoever owns a folder can replace what is in it at any time, by a link for example. So root
    follows no link, and from the first folder of another user on, it acts as that user.
    """
    if os.name != "posix":
        yield None, path
        return
    is_root = os.geteuid() == 0
    path = os.path.abspath(path) if is_root else os.path.realpath(path)
    parent, name = os.path.split(path)
    groups, group = os.getgroups(), os.getegid()
    folder = os.open("/" if is_root else parent, FOLDER)
    try:
        for each in filter(None, parent.split("/") if is_root else ()):
            outer, folder = folder, os.open(each, FOLDER, dir_fd=folder)
            os.close(outer)
            owner = os.fstat(folder).st_uid
            if owner and os.geteuid() == 0:
                _act_as(owner)
        yield folder, name
    except OSError as error:
        if is_root and error.errno in LINK_FOUND:
            raise Look(f"{path}: root follows no links; use the path without them") from None
        raise
    finally:
        os.close(folder)
        if is_root:
            os.seteuid(0)
            os.setegid(group)
            os.setgroups(groups)


def _act_as(owner):
    """Give up the rights of root until they are taken back, also those of its groups."""
    import pwd  # not on Windows

    try:
        group = pwd.getpwuid(owner).pw_gid
    except KeyError:
        raise Look(f"the folder's owner {owner} is not a user of this machine") from None
    os.setgroups([])
    os.setegid(group)
    os.seteuid(owner)


def read_key(path):
    """Read a key from a file, with a warning if other users can read it."""
    with folder_of(path) as (folder, name):
        with os.fdopen(os.open(name, FILE, dir_fd=folder)) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Look(f"{path} is not a file")
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                warn(f"other users can read {path}; run chmod 600 {path}")
            return file.read().strip()


def write_key(path, key):
    """Replace a file with one that contains only the key: atomically, mode 600, synced to disk."""
    with folder_of(path) as (folder, name):
        temporary = f"{name}.{secrets.token_hex(8)}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(key)
                file.flush()
                _keep_owner(folder, name, handle)
                os.fsync(handle)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise
        if folder is not None:
            os.fsync(folder)


def _keep_owner(folder, name, handle):
    """Keep the owner of the file in a folder of root's."""
    if folder is None:
        return
    with contextlib.suppress(FileNotFoundError):
        known = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if known.st_uid != os.geteuid():
            os.fchown(handle, known.st_uid, known.st_gid)


def delete_key(path):
    """Delete a file that has a key."""
    with folder_of(path) as (folder, name):
        os.unlink(name, dir_fd=folder)


# Second factor ----------------------------------------------------------------------------------


def totp(seed, moment):
    """The code of RFC 6238 with SHA-1, 30 seconds and 6 digits."""
    seed = seed.replace(" ", "").upper()
    secret = base64.b32decode(seed + "=" * (-len(seed) % 8))
    mac = hmac.new(secret, struct.pack(">Q", int(moment) // TOTP_STEP), hashlib.sha1).digest()
    offset = mac[-1] & 15
    number = struct.unpack(">I", mac[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06d}"


class SecondFactor:
    """Generates codes and uses each only once: a retry waits for the next code."""

    def __init__(self, path):
        self._seed = read_key(path) if path else None
        self._last_step = None

    def arguments(self):
        if not self._seed:
            return {}
        while int(time.time()) // TOTP_STEP == self._last_step:
            time.sleep(1)
        now = time.time()
        self._last_step = int(now) // TOTP_STEP
        return {"totp": totp(self._seed, now)}


# Rotation ---------------------------------------------------------------------------------------


class Rotation:
    """One run.

    :param pending: path of the file that holds a new key until it is installed
    :param install: function that installs a verified key
    """

    def __init__(self, odoo, pending, install, second_factor):
        self.odoo, self.pending, self.install = odoo, pending, install
        self.second_factor = second_factor

    def run(self, key):
        """Do what is due and return what was done."""
        waiting = self.waiting()
        if waiting is not None:
            finished = self.finish(waiting, key)
            if finished:
                return finished
        state = self.ask(key)
        if state["state"] == "retiring":
            raise Look(
                "this key has already been replaced and only works until {} UTC; the new key is"
                " stored elsewhere. Ask an owner to create a new key.".format(state["expires_at"])
            )
        if not state["rotate_after"]:
            raise Look("this key is not rotated: it has no rotation date")
        if state["rotate_after"] > state["server_time"]:
            return "not due before {} UTC".format(state["rotate_after"])
        new = self.fetch(key)
        write_key(self.pending, new)
        return self.finish(new, key)

    def waiting(self):
        """The key of an earlier run that is not installed yet; None if there is none."""
        try:
            return read_key(self.pending)
        except FileNotFoundError:
            return None

    def ask(self, key):
        try:
            return again_while_broken(lambda: self.odoo.call(key, "whoami"), "Odoo not reached")
        except Refused as refused:
            if refused.status == 401:
                raise Look(
                    "Odoo rejects the current key. To find out why, run doctor.py."
                ) from None
            raise Later(f"Odoo answered: {refused}") from None

    def fetch(self, key):
        try:
            answer = again_while_broken(
                lambda: self.odoo.call(key, "rotate", **self.second_factor.arguments()),
                "no response to rotate",
            )
        except Refused as refused:
            hint = ""
            # The message is translated, but it names the call in every language.
            if "rotate(totp)" in str(refused):
                hint = " Here, use --totp-file: see Delivery of New Keys in the guide for owners."
            raise Later(f"Odoo did not rotate the key: {refused}{hint}") from None
        return answer["key"]

    def finish(self, new, old):
        """Verify a new key, install it and delete the pending copy.

        :return: what was done; None if the pending copy is not a working key
        """
        try:
            state = again_while_broken(lambda: self.odoo.call(new, "whoami"), "new key unverified")
        except Refused as refused:
            if refused.status != 401:
                raise Later(f"the new key could not be verified: {refused}") from None
            delete_key(self.pending)
            if new == old:
                return None
            warn("a new key from an earlier run was rejected; starting again")
            return None
        if new != old:
            self.install(new)
        delete_key(self.pending)
        return f"rotated: the new key {state['prefix']}… expires on {state['expires_at']} UTC"


def into_command(command):
    """Return a function that passes a key to a command's standard input, without a line break."""

    def install(key):
        done = subprocess.run(command, input=key, text=True, shell=True)
        if done.returncode:
            raise Later(f"the command failed with exit code {done.returncode}; the new key is kept")

    return install


def warn(text):
    print("rotate.py: " + text, file=sys.stderr)


def make_parser():
    """The options; those that doctor.py has, too, are the same there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", default=os.environ.get("ODOO_URL"),
                        help="as in the settings of your system; default: ODOO_URL")
    parser.add_argument("--url", dest="url_option", metavar="URL", help="the same as an option")
    parser.add_argument("--db", default=os.environ.get("ODOO_DB"), help="default: ODOO_DB")
    parser.add_argument(
        "--key-file",
        help="file that has the key and nothing else, mode 600. "
        "It must exist. The new key replaces the file, so its folder must be writable. With "
        "--command and --pending-file, you can use ODOO_KEY instead",
    )
    parser.add_argument("--ca-file", help="certificates to trust")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds (30)")
    parser.add_argument("--source-address", help="address of this machine to call from")
    parser.add_argument("--command", help="shell command that gets the new key on standard input")
    parser.add_argument(
        "--pending-file",
        help="file for a new key that is not installed yet (default: the key file + .new)",
    )
    parser.add_argument("--totp-file", help="file with the seed of the second factor, in base32")
    return parser


def parse(arguments):
    """The command line options, with defaults from environment variables, checked."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    chosen.url = chosen.url_option or chosen.url
    if not chosen.url:
        parser.error("enter a URL as an argument or in ODOO_URL")
    host = urllib.parse.urlsplit(chosen.url)
    if host.scheme != "https" and host.hostname not in ("localhost", "127.0.0.1", "::1"):
        parser.error("the URL must start with https://; otherwise the key is sent unencrypted")
    if not chosen.key_file and not (chosen.command and chosen.pending_file):
        parser.error("use --key-file, or --command with --pending-file")
    return chosen


def current_key(chosen):
    """The key currently in use."""
    if chosen.key_file:
        return read_key(chosen.key_file)
    return os.environ.get("ODOO_KEY", os.environ.get("ODOO_API_KEY"))


def main(arguments=None):
    chosen = parse(arguments)
    try:
        key = current_key(chosen)
        if not key:
            raise Look("no current key; set ODOO_KEY or use --key-file")
        install = (
            into_command(chosen.command)
            if chosen.command
            else lambda new: write_key(chosen.key_file, new)
        )
        rotation = Rotation(
            Odoo(
                chosen.url, chosen.db, chosen.timeout, chosen.ca_file, chosen.source_address
            ),
            chosen.pending_file or chosen.key_file + ".new",
            install,
            SecondFactor(chosen.totp_file),
        )
        warn(rotation.run(key))
    except Look as problem:
        warn(str(problem))
        return 2
    except (Later, OSError) as problem:
        warn(str(problem))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
