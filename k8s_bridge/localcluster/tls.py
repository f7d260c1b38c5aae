"""Who the server is and who may call: an own CA, a serving certificate for the loopback names, a token, a kubeconfig.

Everything is kept in one directory with mode 0600 and reused by the next start, so a kubeconfig stays valid.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import secrets
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS: Final = 3650
SERVING_DAYS: Final = 365
RENEW_DAYS: Final = 30
CONTEXT: Final = "secflow-local"


@dataclass(frozen=True)
class Identity:
    """The files of the server's identity and the bearer `token` that every client must send."""

    ca_certificate: Path
    certificate: Path
    key: Path
    token: str

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


def load_identity(directory: Path, *, now: datetime) -> Identity:
    """The identity kept in `directory`, made when it is not there; a serving certificate near its end is renewed."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_file, ca_key_file = directory / "ca.crt", directory / "ca.key"
    certificate_file, key_file = directory / "server.crt", directory / "server.key"
    if not (ca_file.exists() and ca_key_file.exists() and _ends(ca_file) > now + timedelta(days=RENEW_DAYS)):
        _make_ca(ca_file, ca_key_file, now)
        certificate_file.unlink(missing_ok=True)
    fresh = certificate_file.exists() and key_file.exists()
    if not fresh or _ends(certificate_file) < now + timedelta(days=RENEW_DAYS):
        _make_serving(ca_file, ca_key_file, certificate_file, key_file, now)
    token_file = directory / "token"
    if not token_file.exists():
        write_private(token_file, secrets.token_urlsafe(32).encode())
    return Identity(ca_file, certificate_file, key_file, token_file.read_text().strip())


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` in one step by a file that only its owner can read (0600)."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def write_kubeconfig(path: Path, identity: Identity, server: str) -> None:
    """Write a kubeconfig with one context, `secflow-local`, that reaches `server` with the token. JSON is YAML too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(kubeconfig(identity, server), indent=2).encode() + b"\n")


def kubeconfig(identity: Identity, server: str) -> dict[str, Any]:
    authority = base64.b64encode(identity.ca_certificate.read_bytes()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": CONTEXT, "user": {"token": identity.token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default"}}],
        "current-context": CONTEXT,
        "preferences": {},
    }


def _ends(certificate: Path) -> datetime:
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        # A clock that was set back a little must not make the certificate unusable.
        .not_valid_before(now.astimezone(UTC) - timedelta(hours=1))
        .not_valid_after(now.astimezone(UTC) + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _make_ca(certificate_file: Path, key_file: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial in the name tells two local clusters apart in a store of certificates.
    name = _name(f"secflow local cluster CA {secrets.token_hex(4)}")
    certificate = (
        _builder(now, CA_DAYS)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(key_file, key)
    write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))


def _make_serving(ca_file: Path, ca_key_file: Path, certificate_file: Path, key_file: Path, now: datetime) -> None:
    ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
    ca_key = serialization.load_pem_private_key(ca_key_file.read_bytes(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{ca_key_file} is not the key this program wrote; remove {ca_key_file.parent} to start anew")
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    certificate = (
        _builder(now, SERVING_DAYS)
        .subject_name(_name("secflow local cluster"))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_key(key_file, key)
    write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(path, pem)
