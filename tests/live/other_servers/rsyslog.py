"""A real rsyslog that follows the event log, logrotate, and the SIEM that gets the events."""

import contextlib
import json
import socket
import ssl
import subprocess
import threading

from dev.environment import debian_programs
from other_servers.nginx import certificate

FILE = "/var/log/odoo/auth_integration.jsonl"
TARGET = 'target="siem.example.com" port="6514"'
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


class Siem:
    """A receiver of JSON lines over TLS; its certificate is for the host in the guide."""

    def __init__(self, folder):
        authority = certificate(folder, "ca", None)
        certificate(folder, "siem", authority, host="siem.example.com")
        self.authorities = folder / "ca.pem"
        self.lines = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "siem.pem", folder / "siem.key")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # the socket was closed
            while True:
                connection, _peer = self._socket.accept()
                threading.Thread(target=self._receive, args=[connection], daemon=True).start()

    def _receive(self, connection):
        with contextlib.suppress(OSError), self._tls.wrap_socket(
            connection, server_side=True
        ) as stream, stream.makefile("rb") as file:
            self.lines.extend(file)

    def counts(self):
        """Return the highest count of each uid; every line must be a complete event."""
        found = {}
        for event in map(json.loads, list(self.lines)):
            uid = event["metadata"]["uid"]
            found[uid] = max(event["count"], found.get(uid, 0))
        return found

    def close(self):
        self._socket.close()


@contextlib.contextmanager
def following(text, path, siem, folder):
    """Run rsyslog with the configuration of the guide, following a file."""
    for printed, here in ((f'"{FILE}"', f'"{path}"'), (f'"{AUTHORITIES}"', f'"{siem.authorities}"'),
                          (TARGET, f'target="127.0.0.1" port="{siem.port}"')):
        assert printed in text
        text = text.replace(printed, here)
    (folder / "spool").mkdir()
    # As in Debian's /etc/rsyslog.conf, before it includes the files of rsyslog.d.
    (folder / "rsyslog.conf").write_text(
        f'global(workDirectory="{folder}/spool" processInternalMessages="on")\n'
        f"syslog.* {folder}/rsyslog.log\n{text}"
    )
    executable, environ = debian_programs.rsyslog("rsyslogd")
    process = subprocess.Popen(
        [executable, "-n", "-iNONE", "-f", folder / "rsyslog.conf"],
        env=environ, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # it is still trying to send
            process.kill()
            process.wait()


def rotate(text, path, folder):
    """Rotate the file now, with the logrotate configuration of the guide."""
    configuration = folder / "logrotate.conf"
    configuration.write_text(text.replace(FILE, str(path)))
    executable, environ = debian_programs.rsyslog("logrotate")
    subprocess.run(
        [executable, "--force", "--state", folder / "logrotate.state", configuration],
        env=environ, stdin=subprocess.DEVNULL, check=True,
    )
