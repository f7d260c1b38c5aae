"""One running SecFlow and one browser for all tests of this folder.

Without a browser they are skipped; with SECFLOW_TEST_BROWSER=required, as `make test-ui` has it, they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.stack import PASSWORD, Stack, running_stack
from tests.ui.browser import INSTALL, Browser, binaries, opened
from tests.ui.material import Material, make_material


@pytest.fixture(scope="session")
def _chromium() -> None:
    if binaries() is None:
        (pytest.fail if os.environ.get("SECFLOW_TEST_BROWSER") == "required" else pytest.skip)(INSTALL)


@pytest.fixture(scope="session")
def stack(_chromium: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole of SecFlow on the local cluster."""
    with running_stack(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def _window(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(f"http://127.0.0.1:{stack.port}", tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def fresh(browser: Browser) -> Browser:
    """Signed in as nobody, in light colours, with nothing left of what was before."""
    browser.open("/admin/login/")
    browser.driver.delete_all_cookies()
    browser.run("localStorage.clear()")
    browser.theme("light")
    browser.problems()
    return browser


@pytest.fixture
def anonymous(_window: Browser) -> Iterator[Browser]:
    """The browser of nobody. A test that leaves an error in its log has failed."""
    yield fresh(_window)
    assert _window.problems() == []


@pytest.fixture(scope="module")
def module_browser(_window: Browser) -> Browser:
    """The browser of the administrator, for what the tests of a file share."""
    fresh(_window).log_in("admin", PASSWORD)
    return _window


@pytest.fixture
def browser(anonymous: Browser) -> Browser:
    """The browser of the administrator."""
    anonymous.log_in("admin", PASSWORD)
    return anonymous


@pytest.fixture(scope="session")
def material(stack: Stack) -> Material:
    """Workflows of each kind, made once."""
    return make_material(stack, "ui")
