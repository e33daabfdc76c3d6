"""A real browser without a window, for pages that this project writes: Debian's chromium."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def require_browser() -> None:
    """Skip the tests of a machine without a browser."""
    pytest.importorskip("selenium", reason="needs the package selenium")
    if BROWSER is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver (apt-get install chromium chromium-driver)")


@contextmanager
def opened_browser(profile: Path, *, has_webgl: bool = False) -> Iterator["Browser"]:
    """A browser with a profile of its own in a folder; WebGL is drawn by the processor."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = BROWSER
    gpu = ["--disable-gpu", "--window-size=1280,900"]
    if has_webgl:  # by the processor, and so in a small window
        gpu = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        gpu.append("--window-size=900,600")
    for argument in (
        "--headless=new", "--no-sandbox", *gpu, "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """One page at a time, by what its users see of it."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def open(self, page: Path) -> None:
        """Open a file, and wait until it can be used."""
        self.driver.get("about:blank")
        self.driver.get_log("browser"), self.driver.get_log("performance")
        self.driver.get(page.as_uri())
        assert self.run("return document.documentElement.dataset.ready") is not None

    def run(self, script: str, *arguments: object):
        """What a script gives in the page."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str):
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def choose(self, selector: str, value: str) -> None:
        """Choose a value of a list."""
        from selenium.webdriver.support.select import Select

        Select(self.one(selector)).select_by_value(value)

    def type(self, selector: str, text: str) -> None:
        """Write into a field in place of what is there."""
        field = self.one(selector)
        field.clear()
        field.send_keys(text)

    def press(self, *keys: str) -> None:
        """Press keys wherever the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """What the page has complained about since it was opened: errors, and refused content."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """What was asked for since the page was opened, the pictures inside it left out."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        asked = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        urls = [event["request"]["url"] for event in asked]
        return [url for url in urls if not url.startswith("data:")]
