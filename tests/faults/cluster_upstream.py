"""The API server of a kubeconfig, reached with the credentials that the kubeconfig has."""

from __future__ import annotations

import base64
import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

Json = dict[str, Any]


@dataclass(frozen=True)
class Upstream:
    """Where the API server is and how to speak to it."""

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None
    token: str | None

    @classmethod
    def of(cls, kubeconfig: str | Path, folder: Path) -> Upstream:
        """Reads the current context. Keys that stand in the kubeconfig itself are written into `folder`."""
        content = yaml.safe_load(Path(kubeconfig).read_text())
        context = _named(content["contexts"], content["current-context"])["context"]
        cluster = _named(content["clusters"], context["cluster"])["cluster"]
        user = _named(content.get("users") or [], context.get("user", "")).get("user") or {}
        address = urlsplit(cluster["server"])
        secure = address.scheme == "https"
        token = user.get("token") or (Path(user["tokenFile"]).read_text().strip() if "tokenFile" in user else None)
        return cls(
            scheme=address.scheme,
            host=str(address.hostname),
            port=address.port or (443 if secure else 80),
            context=_tls(cluster, user, folder) if secure else None,
            token=token,
        )

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """A new connection; it opens at the first request."""
        if self.context is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.context)


def _named(items: list[Json], name: str) -> Json:
    return next((item for item in items if item["name"] == name), {})


def _tls(cluster: Json, user: Json, folder: Path) -> ssl.SSLContext:
    authority = _material(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cafile=authority)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = (_material(user, name, folder) for name in ("client-certificate", "client-key"))
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def _material(section: Json, name: str, folder: Path) -> str | None:
    """The path of a certificate or key, which the kubeconfig names or contains."""
    if f"{name}-data" not in section:
        return section.get(name)
    path = folder / name
    path.touch(mode=0o600)
    path.write_bytes(base64.b64decode(section[f"{name}-data"]))
    return str(path)
