"""The folder in the addresses of static files. Browsers keep what is in it for ever, and ask anew after an upgrade."""

from __future__ import annotations

from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from secflow.settings.environment import BASE_DIR

FOLDER = BASE_DIR / "secflow" / "static"
PACKAGES = (
    "django",
    "django-unfold",
    "djangorestframework",
    "drf-spectacular-sidecar",
)  # those that bring static files

PREFIX = "/static/"
# Addresses whose files never change; the other ones, under PREFIX alone, are those of DEBUG.
KEPT_FOR_EVER = rf"^{PREFIX}[0-9a-f]{{12}}/"


def versioned_url(folder: Path = FOLDER) -> str:
    """Where static files are: another address whenever one of them is another, the same in every process and on every
    machine that has the same release.

    One folder for all instead of a hash in each name: what style sheets name by a relative address, such as fonts, is in
    it as well, and nothing has to be collected or rewritten before a start. Our own files count by content, others by the
    version of their package.
    """
    digest = blake2b(digest_size=6)
    for package in PACKAGES:
        digest.update(f"{package} {version(package)}\n".encode())
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            digest.update(f"{file.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return f"{PREFIX}{digest.hexdigest()}/"
