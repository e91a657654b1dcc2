"""A real nginx in front of a live server, with all kinds of faults that a test configures."""

import datetime
import ipaddress
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dev.common import free_port
from dev.environment import debian_programs
from other_servers.program import started

FORWARD = """
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
"""


def executable():
    """Return the path of nginx, installing Debian's if run as root; None if there is none."""
    return debian_programs.program("nginx", "nginx-light")


class Nginx:
    """An nginx process; each site has a port and forwards to ``target`` unless it says otherwise.

    :param folder: an empty folder for configuration, certificates and temporary files
    :param target: ``host:port`` of the server behind
    """

    def __init__(self, folder, target):
        self.folder, self.target = folder, target
        self._sites = []
        self._upstreams = []
        self._process = None
        self.ca_file = folder / "ca.pem"
        self._ca = certificate(folder, "ca", None)

    def upstream(self, name, targets):
        """Define several servers as one target; each request goes to one that is reachable."""
        servers = "".join(f"server {target} max_fails=1 fail_timeout=1s;" for target in targets)
        self._upstreams.append(f"upstream {name} {{ {servers} }}")

    def site(self, extra="", *, headers="", forward=FORWARD, location="/", tls=None, target=None):
        """Add a site and return its port.

        :param extra: directives of the server block
        :param headers: directives of the location that forwards
        :param tls: options of the certificate: ``host``, ``starts`` and ``ends`` in days from now,
            and
            ``trusted``
        """
        port = free_port()
        listen = f"listen 127.0.0.1:{port}{' ssl' if tls is not None else ''};"
        if tls is not None:
            name = f"site{port}"
            ca = None if tls.pop("trusted", True) is False else self._ca
            certificate(self.folder, name, ca, **tls)
            listen += f"ssl_certificate {name}.pem; ssl_certificate_key {name}.key;"
        slash = "/" if location != "/" else ""
        self._sites.append(
            f"server {{ {listen} {extra} location {location} {{ {forward} {headers}"
            f" proxy_pass http://{target or self.target}{slash}; }} }}"
        )
        return port

    def start(self):
        """Start nginx with all sites added so far, and wait until it answers."""
        ready = free_port()
        temp = "\n".join(
            f"{kind}_temp_path {self.folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = self.folder / "nginx.conf"
        configuration.write_text(
            f"""
            daemon off; master_process off; pid {self.folder}/nginx.pid;
            error_log {self.folder}/error.log; events {{}}
            http {{
                access_log off; {temp}
                server {{ listen 127.0.0.1:{ready}; return 204; }}
                {"".join(self._upstreams + self._sites)}
            }}
            """
        )
        self._process = started(
            [executable(), "-p", self.folder, "-c", configuration],
            self.folder,
            lambda: _answers(f"http://127.0.0.1:{ready}/"),
        )
        return self

    def stop(self):
        """Stop nginx."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)


def _answers(url):
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def certificate(folder, name, issuer, host="127.0.0.1", starts=-1, ends=365):
    """Write ``<name>.pem`` and ``<name>.key``, and return both as objects.

    :param issuer: the authority, as returned by this function; None for a self-signed certificate
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")])
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        alternative = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    issuer_key, issuer_name = (issuer[0], issuer[1].subject) if issuer else (key, subject)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=starts))
        .not_valid_after(now + datetime.timedelta(days=ends))
        .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), True)
        .add_extension(x509.SubjectAlternativeName([alternative]), False)
        .sign(issuer_key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / f"{name}.pem").write_bytes(pem)
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return key, certificate
