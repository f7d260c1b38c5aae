"""REDIS_URL with TLS: a certificate that nobody vouches for is refused, by Celery as well as by everything else."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from secflow.settings.environment import BASE_DIR

ASK = """
import json, django
django.setup()
from django.conf import settings
from kombu.exceptions import OperationalError
from secflow.celery import app
from secflow.runtime import heartbeat
from redis.exceptions import ConnectionError
said = {}
try:
    app.connection_for_write().ensure_connection(max_retries=1, interval_start=0, interval_step=0)
    said["celery"] = "ok"
except OperationalError as err:
    said["celery"] = str(err)
try:
    heartbeat.read(settings.SECFLOW.redis_url)
    said["heartbeat"] = "ok"
except ConnectionError as err:
    said["heartbeat"] = str(err)
print(json.dumps(said))
"""


def self_signed(folder: Path) -> Path:
    """A file with a key and its certificate for 127.0.0.1, which no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "self-signed.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    return file


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # either side is gone, and the other thread sees it as well


@pytest.fixture
def tls(tmp_path: Path, redis_url: str) -> Iterator[tuple[str, Path]]:
    """The address of a TLS front of the tests' Valkey, and the file of its certificate."""
    file = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    valkey = urlsplit(redis_url)

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                near = context.wrap_socket(self.request, server_side=True)
            except (ssl.SSLError, OSError):
                return  # the client did not like the certificate
            with near, socket.socket(socket.AF_UNIX if valkey.scheme == "unix" else socket.AF_INET) as far:
                far.connect(unquote(valkey.path) if valkey.scheme == "unix" else (valkey.hostname, valkey.port or 6379))
                back = threading.Thread(target=pump, args=(far, near), daemon=True)
                back.start()
                pump(near, far)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Front) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"rediss://127.0.0.1:{server.server_address[1]}/0", file
        server.shutdown()
        thread.join()


def asked(redis_url: str) -> dict[str, str]:
    """What a process with this REDIS_URL says of its connections."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=BASE_DIR,
        env={**os.environ, "REDIS_URL": redis_url, "DJANGO_SETTINGS_MODULE": "secflow.settings"},
        stdout=subprocess.PIPE,
        check=True,
    )
    said: dict[str, str] = json.loads(done.stdout)
    return said


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: tuple[str, Path]) -> None:
    address, _ = tls

    said = asked(address)

    assert set(said) == {"celery", "heartbeat"}
    assert all("CERTIFICATE_VERIFY_FAILED" in text for text in said.values()), said


def test_a_certificate_of_the_named_authority_is_taken_and_so_is_any_when_the_address_says_so(
    tls: tuple[str, Path],
) -> None:
    address, file = tls

    assert asked(f"{address}?ssl_ca_certs={file}") == {"celery": "ok", "heartbeat": "ok"}
    assert asked(f"{address}?ssl_cert_reqs=none") == {"celery": "ok", "heartbeat": "ok"}
