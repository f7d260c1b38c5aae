"""One headless Chromium, and what the tests ask of it: open pages, act, and tell what went wrong in its log."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.errorhandler import ErrorHandler
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

Found = TypeVar("Found")

SECONDS = 30.0
THEMES = ("light", "dark")
SIZE = (1440, 1000)
VENDOR = Path(__file__).parent / "vendor"
INSTALL = "no Chromium here: install it (Debian and Ubuntu: apt install chromium chromium-driver)"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-search-engine-choice-screen",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    f"--window-size={SIZE[0]},{SIZE[1]}",
)
# Kept from before the first script of each page: what the policy refused, and every alert.
_WITNESS = """
window.__refused = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__refused.push(`${event.effectiveDirective} refused ${event.blockedURI} ${event.sample} ${event.sourceFile}`);
});
window.__alerts = [];
for (const name of ["alert", "confirm", "prompt"]) window[name] = (text) => { window.__alerts.push(`${name}: ${text}`); };
"""


class Errors(ErrorHandler):
    """Selenium's own, but an element of a page that was left is stale whatever the driver calls it.

    chromedriver looks an element up in several steps. When the page goes between two of them, it passes on what the
    browser's inspector said to the second one, as an unknown error (SeleniumHQ/selenium#15401 and #12221).
    """

    def check_response(self, response: dict[str, Any]) -> None:
        try:
            super().check_response(response)
        except WebDriverException as error:
            if any(words in str(error.msg) for words in _GONE):
                raise StaleElementReferenceException(error.msg) from error
            raise


_GONE = ("Node with given id does not belong to the document", "No node with given id found")


def binaries() -> tuple[str, str] | None:
    """The browser and its driver, when both are installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((path for name in names if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """A browser window at one SecFlow. Waits are for conditions, never for a time."""

    def __init__(self, driver: webdriver.Chrome, url: str, downloads: Path) -> None:
        self.driver = driver
        self.url = url
        self.downloads = downloads
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WITNESS})

    # Moving

    def open(self, path: str) -> None:
        """A page by its path, once it is loaded and its scripts have begun."""
        self.driver.get(self.url + path)
        self.ready()

    def ready(self) -> None:
        """Waits until the page is loaded, and Alpine, where there is one, is up."""
        self.until(
            lambda: self.run(
                "return document.readyState === 'complete' && !document.querySelector('html[x-cloak]')"
                " && !document.querySelector('.htmx-request')"
            ),
            "the page",
        )

    @property
    def path(self) -> str:
        return str(self.run("return location.pathname + location.search"))

    def log_in(self, username: str, password: str) -> None:
        """By the form of the log-in page, whoever was signed in."""
        self.driver.delete_all_cookies()
        self.open("/admin/login/?next=/admin/")
        self.fill("input[name=username]", username)
        self.fill("input[name=password]", password)
        self.leave(lambda: self.find("form button[type=submit]").click())

    def leave(self, act: Callable[[], object]) -> None:
        """Does what makes the browser load another page, and waits for that one."""
        page = self.find("html")
        act()

        def is_gone() -> bool:
            try:
                page.is_enabled()
            except StaleElementReferenceException:
                return True
            return False

        self.until(is_gone, "another page")
        self.ready()

    # Looking and acting

    def run(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def has(self, css: str) -> bool:
        return bool(self.all(css))

    def text(self, css: str = "body") -> str:
        return self.find(css).text

    def link(self, text: str) -> WebElement:
        """A link or button by the words on it, those that are exactly so first."""
        found = [one for one in self.all("a, button") if one.is_displayed() and text in one.text]
        assert found, f"nothing says {text} at {self.path}"
        return min(found, key=lambda one: one.text.strip() != text)

    def fill(self, css: str, text: str) -> None:
        field = self.shown(css)
        field.clear()
        field.send_keys(text)

    def choose(self, css: str, text: str) -> None:
        """An option of a select, by its words."""
        Select(self.shown(css)).select_by_visible_text(text)

    def shown(self, css: str) -> WebElement:
        """An element, once it can be seen."""
        return self.until(lambda: next((one for one in self.all(css) if one.is_displayed()), None), css)

    def until(self, is_so: Callable[[], Found], what: str, *, seconds: float = SECONDS) -> Found:
        """The first value that counts as true; fails with `what` and the place when none comes."""
        ignored = (NoSuchElementException, StaleElementReferenceException)
        waiting = WebDriverWait(self.driver, seconds, poll_frequency=0.1, ignored_exceptions=ignored)
        return waiting.until(lambda _: is_so(), f"{what} did not come within {seconds:g} s at {self.path}")

    def tick(self, xpath: str) -> None:
        """A check box, by its label."""
        self.driver.find_element(By.XPATH, xpath).click()

    def unfold(self) -> None:
        """Opens what is folded away on the page."""
        for title in self.all("details:not([open]) > summary"):
            title.click()

    def type(self, *keys: str) -> None:
        """Keys for whatever has the focus."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, is_there: str, *, presses: int = 150) -> None:
        """Presses Tab until the focus is on an element for which a script's expression about `e` is true."""
        for _ in range(presses):
            if self.run(f"const e = document.activeElement; return Boolean({is_there})"):
                return
            self.type(Keys.TAB)
        raise AssertionError(f"the focus did not come to {is_there} with {presses} times Tab at {self.path}")

    def without_reloading(self, is_so: Callable[[], Found], what: str) -> Found:
        """As `until`, on this very page: it must not have been loaded again."""
        self.run("window.__same = true")
        found = self.until(is_so, what, seconds=90)
        assert self.run("return window.__same === true"), "the page was loaded again"
        return found

    # Judging

    def problems(self) -> list[str]:
        """What the browser complained of since the last call: errors of scripts and loads, refusals of the policy, alerts."""
        logged = [
            entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
        ]
        kept = self.run("return [...(window.__refused || []), ...(window.__alerts || [])]")
        self.run("window.__refused = []; window.__alerts = []")
        return logged + kept

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def axe(self, *, exclude: Sequence[str] = ()) -> list[str]:
        """The serious and critical findings of axe-core, each with the elements that it is about."""
        if not self.run("return typeof axe !== 'undefined'"):
            self.run((VENDOR / "axe.min.js").read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(
            """
            const [exclude, done] = arguments;
            axe.run({exclude: exclude.map((one) => [one])}, {resultTypes: ["violations"]})
              .then((result) => done(result.violations), (error) => done([{impact: "critical", id: String(error), nodes: []}]));
            """,
            list(exclude),
        )
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:200]} [{' '.join(map(str, node['target']))}] {_why(node)}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"] or [{"html": "", "target": []}]
        ]

    # Looks

    def theme(self, name: str) -> None:
        """`dark` or `light`, as somebody whose system is set so and who chose so in the console."""
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {
                "features": [
                    {"name": "prefers-color-scheme", "value": name},
                    {"name": "prefers-reduced-motion", "value": "reduce"},
                ]
            },
        )
        if self.run("return location.protocol.startsWith('http')"):
            self.run("localStorage.setItem('adminTheme', JSON.stringify(arguments[0]))", name)

    def switch(self, name: str) -> None:
        """The other colours on this very page, as the console's switch has them."""
        self.run(
            "const classes = document.documentElement.classList;"
            "classes.remove('light', 'dark'); classes.add(arguments[0]);"
            "document.body.offsetTop; document.getAnimations().forEach((one) => one.finish())",
            name,
        )

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the page as long as it is."""
        height = max(SIZE[1], int(self.run("return document.documentElement.scrollHeight"))) if whole else SIZE[1]
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": SIZE[0], "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(path))
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def _why(node: Mapping[str, Any]) -> str:
    return " ".join(str(node.get("failureSummary", "")).split())[:300]


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Browser]:
    """A new browser with a profile of its own in `folder`, closed at the end."""
    found = binaries()
    assert found is not None, INSTALL
    browser, driver = found
    downloads = folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    options = Options()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option(
        "prefs",
        {
            "download.default_directory": str(downloads),
            "download.prompt_for_download": False,
            "credentials_enable_service": False,
            "profile.password_manager_leak_detection": False,
        },
    )
    # With the driver's path given, selenium looks for none and asks no network.
    running = webdriver.Chrome(options=options, service=Service(executable_path=driver))
    running.error_handler = Errors()
    try:
        yield Browser(running, url, downloads)
    finally:
        running.quit()
