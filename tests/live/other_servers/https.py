"""HTTPS servers on this machine, with a certificate authority, and permission to call them."""

import http.server
import ssl
import threading
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM = serialization.Encoding.PEM
AUTHORITY = "Authority of the tests"


class HttpsServer:
    """A server on localhost that passes what is posted to :meth:`respond`.

    :ivar url: the URL to post to
    :ivar authority: file of the certificate authority that signed its certificate
    """

    def __init__(self, folder, path):
        certificate, self.authority = make_certificates(folder)
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                owner.respond(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}{path}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def respond(self, request, body):
        """Answer a request.

        :param request: its ``BaseHTTPRequestHandler``
        """
        raise NotImplementedError

    def close(self):
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


def allowing_this_machine(server):
    """Allow a live server to send to this machine, which is forbidden by default; return it."""
    server.shell(
        "env['ir.config_parameter'].set_param("
        "'auth_integration.webhook_allowed_networks', '127.0.0.0/8')"
    )
    return server


def make_certificates(folder):
    """Create an authority and a certificate for localhost signed by it, as strict checks need them.

    :return: the file of the certificate and its private key, and that of the authority
    """
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    only_signs = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
         "key_agreement", "encipher_only", "decipher_only"), False
    )
    authority = _sign(
        AUTHORITY,
        authority_key,
        authority_key,
        x509.BasicConstraints(ca=True, path_length=None),
        x509.KeyUsage(key_cert_sign=True, crl_sign=True, **only_signs),
    )
    certificate = _sign(
        "localhost", key, authority_key, x509.SubjectAlternativeName([x509.DNSName("localhost")])
    )
    private = key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    paths = folder / "localhost.pem", folder / "authority.pem"
    paths[0].write_bytes(certificate.public_bytes(PEM) + private)
    paths[1].write_bytes(authority.public_bytes(PEM))
    return str(paths[0]), str(paths[1])


def _sign(name, key, authority_key, *extensions):
    now, day = datetime.now(timezone.utc), timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(_name(AUTHORITY))
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
    )
    identifiers = (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
    )
    for extension in identifiers:
        builder = builder.add_extension(extension, critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(authority_key, hashes.SHA256())


def _name(common_name):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
