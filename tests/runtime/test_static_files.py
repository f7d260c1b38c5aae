"""Browsers keep static files, and have the new ones at once after an upgrade. Asked over HTTP, of a web process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from django.apps import apps
from django.conf import settings

from secflow.runtime.parts import answers
from secflow.runtime.processes import wait_until
from secflow.settings.static_files import FOLDER, PACKAGES, versioned_url
from tests.stack import free_port

ROOT = Path(__file__).resolve().parents[2]
FOR_EVER = "max-age=315360000, public, immutable"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release of our own, to be changed."""
    for name in ("secflow", "workflows", "templates_app", "k8s_bridge", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@contextmanager
def web(release: Path, log: Path, *, debug: bool = False) -> Iterator[httpx.Client]:
    """A browser at a web process of the release."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", str(release / "secflow/runtime/gunicorn_config.py")]
    environ = {**os.environ, "PORT": str(port), "DEBUG": str(debug).lower(), "HTTPS": "false"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=release, env=environ, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: process.poll() is not None or answers("127.0.0.1", port, "/livez"), seconds=60)
        assert process.poll() is None, log.read_text(errors="replace")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def stands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A browser at this checkout."""
    with web(ROOT, tmp_path_factory.mktemp("stands") / "web.log") as client:
        yield client


def files_of(client: httpx.Client, page: str) -> list[str]:
    """The style sheets, scripts and pictures that the page names."""
    answer = client.get(page)
    assert answer.status_code == 200, answer.text
    return re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.text)


def named(files: list[str], name: str) -> str:
    [address] = {file for file in files if file.endswith(f"/{name}")}
    return address


@pytest.mark.parametrize("page", ["/admin/login/", "/api/docs/", "/api/redoc/"])
def test_whatever_a_page_names_is_kept_for_ever(stands: httpx.Client, page: str) -> None:
    files = files_of(stands, page)
    sheets = [file for file in files if file.endswith(".css")]
    named_by_sheets = {
        urljoin(sheet, inner)
        for sheet in sheets
        for inner in re.findall(r"url\([\"']?([^\"')]+)", stands.get(sheet).text)
        if not inner.startswith(("data:", "#"))
    }

    assert len(files) >= 3
    assert bool(named_by_sheets) == (page == "/admin/login/")
    for address in {*files, *named_by_sheets}:
        answer = stands.get(address)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, FOR_EVER), address


def test_an_upgrade_shows_at_once(release: Path) -> None:
    style = release / "secflow/static/console/console.css"
    with web(release, release / "web.log") as client:
        old = named(files_of(client, "/admin/login/"), "console.css")
        before = client.get(old).content
    with web(release, release / "web.log") as client:
        assert named(files_of(client, "/admin/login/"), "console.css") == old
    times = style.stat()
    style.write_bytes(before.replace(b"{", b"}", 1))  # no other size, and no other time, as images are often built
    os.utime(style, ns=(times.st_atime_ns, times.st_mtime_ns))

    with web(release, release / "web.log") as client:
        new = named(files_of(client, "/admin/login/"), "console.css")
        shown = client.get(new)
        gone = client.get(old)

    assert new != old
    assert (shown.content, shown.headers["Cache-Control"]) == (style.read_bytes(), FOR_EVER)
    assert (gone.status_code, "immutable" in gone.headers.get("Cache-Control", "")) == (404, False)


def test_under_debug_browsers_ask_each_time(release: Path) -> None:
    style = release / "secflow/static/console/console.css"
    with web(release, release / "web.log", debug=True) as client:
        address = named(files_of(client, "/admin/login/"), "console.css")
        first = client.get(address)
        same = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
        style.write_bytes(first.content + b"/* more */")
        changed = client.get(address, headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["Cache-Control"] == "max-age=0, public"
    assert (same.status_code, changed.status_code) == (304, 200)
    assert changed.content == style.read_bytes()


def test_every_static_file_counts_in_the_address() -> None:
    packages = packages_distributions()
    bringing = {app.name.partition(".")[0] for app in apps.get_app_configs() if (Path(app.path) / "static").is_dir()}

    assert {packages[name][0].lower() for name in bringing - {"secflow"}} == set(PACKAGES)
    assert [Path(app.path) / "static" for app in apps.get_app_configs() if app.name == "secflow"] == [FOLDER]
    assert settings.STATICFILES_DIRS == []
    assert versioned_url() == settings.STATIC_URL


def test_the_address_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    def made(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        return versioned_url(folder)

    assert made(a="1", b="2") == made(b="2", a="1")
    assert len({made(a="1", b="2"), made(a="2", b="1"), made(a="12", b=""), made(a="1"), made(c="1")}) == 5
