"""Look at the demo's results in the viewer, and take a picture of it for the docs.

make demo && python scripts/figure_viewer.py [demo-out/results.zarr] [docs/images/viewer.jpg]

Needs chromium and chromedriver, as the tests of the viewer do.
"""

import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from fitter import Viewer, ViewerOptions, open_viewer

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1180, 960
NAME = "two_hands.jpg"
SECONDS = 120
"""That a browser without a GPU is waited for."""


def main(store: Path, target: Path) -> None:
    """Serve the store, and keep what a window of a browser shows of one image."""
    options = ChromeOptions()
    for argument in (
        "--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}",
        "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    ):  # fmt: skip
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    with open_viewer(store, ROOT / "examples", options=ViewerOptions(port=0)) as viewer:
        viewer.page.controls.go(list(viewer.page.rows.store.names).index(NAME))
        viewer.page.controls.choose(0)
        viewer.page.wait_until_drawn(SECONDS)
        driver = Chrome(options, Service(shutil.which("chromedriver")))
        try:
            picture = _settled(driver, viewer)
        finally:
            driver.quit()
    picture.save(target, quality=82, optimize=True)


def _settled(driver: Chrome, viewer: Viewer) -> Image.Image:
    """The page, once it shows the same for some seconds."""
    driver.get(viewer.url)
    end, same, before = time.monotonic() + SECONDS, 0, b""
    while same < 5 and time.monotonic() < end:
        time.sleep(1)
        for button in driver.find_elements("css selector", ".mantine-Notification-closeButton"):
            button.click()  # the notice that there is no GPU
        found = driver.get_screenshot_as_png()
        is_drawn = bool(driver.find_elements("css selector", "canvas")) and before == found
        same, before = (same + 1 if is_drawn else 0), found
    return Image.open(io.BytesIO(before)).convert("RGB")


if __name__ == "__main__":
    defaults = ["demo-out/results.zarr", "docs/images/viewer.jpg"]
    main(*map(Path, sys.argv[1:] + defaults[len(sys.argv) - 1 :]))
