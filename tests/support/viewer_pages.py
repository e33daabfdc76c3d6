"""The page of a viewer in a real browser, and what its screenshots are compared with."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fitter.camera import project
from fitter.raster import rasterize
from fitter.viewer.server import Viewer
from tests.support.browser import Browser

SECONDS = 60
"""That a page on a busy machine is waited for."""

GREY = 90
"""Of the pictures in these tests; see `fitted_stores.write_images`."""

TOLERANCE = 0.04
"""Share of the pixels around the hands that may show something else than what is expected."""

_FAR = 12
"""Grey values by which a pixel differs from the picture behind the hands."""


class ViewerInBrowser:
    """A viewer's page in a browser."""

    def __init__(self, browser: Browser, viewer: Viewer) -> None:
        """Open the page, and wait until it is drawn."""
        self.browser, self.viewer = browser, viewer
        browser.driver.get("about:blank")
        browser.complaints(), browser.requests()
        browser.driver.get(viewer.url)
        until(lambda: viewer.server.get_clients() and self.buttons())
        for button in browser.all(".mantine-Notification-closeButton"):
            button.click()  # the notice that WebGL is drawn by the processor

    def buttons(self) -> dict:
        return {button.text: button for button in self.browser.all("button")}

    def press(self, name: str) -> None:
        """Click a button, and wait until what it asks for is sent."""
        self.viewer.page._drawn.clear()
        self.buttons()[name].click()

    def panel(self) -> str:
        """All that the panel says."""
        return self.browser.run("return document.body.innerText")

    def field(self, label: str):
        """The field behind a label of the panel."""
        place = f"//label[normalize-space()='{label}']/following::input[1]"
        return self.browser.driver.find_element("xpath", place)

    def canvas(self):
        return self.browser.one("canvas")

    def screenshot(self) -> np.ndarray:
        """(H, W, 3) uint8 of the scene, when it has come to rest."""
        size = self.canvas().size  # it begins at the upper left corner of the page
        height, width = size["height"], size["width"]
        rest, before = 0, None
        end = time.monotonic() + SECONDS
        while rest < 2 and time.monotonic() < end:
            whole = self.browser.driver.get_screenshot_as_png()
            found = np.asarray(Image.open(io.BytesIO(whole)))[:height, :width, :3]
            rest = rest + 1 if before is not None and np.array_equal(before, found) else 0
            before = found
            time.sleep(0.3)
        assert rest >= 2, "the scene does not come to rest"
        return before

    def look_through_camera(self) -> np.ndarray:
        """(3, 3) K of the screenshots, once the page looks through the scene's camera."""
        self.press("look through the camera")
        (client,) = self.viewer.server.get_clients().values()
        wanted = self.viewer.page.scene.cameras[0].field_of_view
        until(lambda: abs(client.camera.fov - wanted) < 1e-4)
        until(lambda: np.allclose(client.camera.position, 0, atol=1e-6))
        size = self.canvas().size
        focal = 0.5 * size["height"] / np.tan(0.5 * wanted)
        return np.array([[focal, 0, size["width"] / 2], [0, focal, size["height"] / 2], [0, 0, 1]])


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "it does not come to be"
        time.sleep(0.1)


def silhouette(hands: list, intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of hands by our own rasteriser; `size` is (height, width)."""
    covered = np.zeros(size, bool)
    for hand in hands:
        points = torch.from_numpy(hand.vertices.astype(np.float64))[None]
        screen = torch.cat(
            [project(points, torch.from_numpy(intrinsics)[None]), points[..., 2:]], -1
        )
        covered |= rasterize(screen, torch.from_numpy(hand.faces), size).mask[0].numpy()
    return covered


def difference(screenshot: np.ndarray, covered: np.ndarray) -> float:
    """Share of the pixels around hands where a screenshot shows something where no hand is, or the
    grey picture where one is."""
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    around = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shown = (np.abs(screenshot.astype(int) - GREY).max(axis=-1) > _FAR)[around]
    return float((shown != covered[around]).mean())


def save(screenshot: np.ndarray, path: Path) -> None:
    Image.fromarray(screenshot).save(path)
