"""The viewer's page in a real browser: what is drawn, what is clicked, and that it asks nobody."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from fitter.results import open_results
from tests.support.browser import opened_browser, require_browser
from tests.support.fitted_stores import write_images, write_store
from tests.support.report_stores import HARMFUL_NAME, mixed_rows
from tests.support.viewer_pages import (
    TOLERANCE,
    ViewerInBrowser,
    difference,
    silhouette,
    until,
)

TWO, LEFT = "a/two.jpg", "b/left.jpg"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    require_browser()
    pytest.importorskip("viser", reason="needs the package viser")
    from fitter.viewer import ViewerOptions, open_viewer

    folder = tmp_path_factory.mktemp("viewer")
    write_store(folder / "r.zarr", mixed_rows())
    write_images(folder / "in", [TWO, LEFT, "c/empty.jpg"])
    options = ViewerOptions(port=0)
    with (
        opened_browser(folder / "profile", has_webgl=True) as browser,
        open_viewer(folder / "r.zarr", folder / "in", options=options) as viewer,
    ):
        yield ViewerInBrowser(browser, viewer)


@pytest.fixture(autouse=True)
def first_image(page):
    """Every test begins with the first image, as it is drawn when the page is opened."""
    controls = page.viewer.page.controls
    controls.go(0)
    controls._surface.value, controls._score.value = "skin", 0.0
    controls.choose(None)
    until(lambda: TWO in page.panel())


def hands(page, name=TWO):
    return open_results(page.viewer.page.rows.store.path)[name]


@pytest.mark.parametrize("surface", ["skin", "side"])
def test_hands_lie_where_the_camera_saw_them_and_missing_ones_are_seen(page, surface):
    page.viewer.page.controls._surface.value = surface
    intrinsics = page.look_through_camera()
    shown = page.screenshot()
    expected = silhouette(hands(page), intrinsics, shown.shape[:2])
    assert expected.mean() > 0.02
    assert difference(shown, expected) < TOLERANCE
    # The same comparison fails where a hand is missing, where all are, and where others are shown.
    one = silhouette(hands(page)[:1], intrinsics, shown.shape[:2])
    page.viewer.page.controls._score.value = 0.5
    until(lambda: "hands not shown: 1" in page.panel())
    without_left = page.screenshot()
    assert difference(without_left, expected) > TOLERANCE
    assert difference(without_left, one) < TOLERANCE
    page.viewer.page.controls._surface.value = "none"
    until(lambda: page.viewer.page.wait_until_drawn(0))
    assert difference(page.screenshot(), expected) > TOLERANCE
    assert difference(shown, silhouette(hands(page, LEFT), intrinsics, shown.shape[:2])) > TOLERANCE


def test_a_click_on_a_hand_tells_its_parameters(page):
    from selenium.webdriver import ActionChains

    intrinsics = page.look_through_camera()
    shown = page.screenshot()
    height, width = shown.shape[:2]
    for slot in (0, 1):
        hand, other = hands(page)[slot], hands(page)[1 - slot]
        own = silhouette([hand], intrinsics, (height, width))
        own &= ~silhouette([other], intrinsics, (height, width))
        places = np.argwhere(binary_erosion(own, iterations=12))
        y, x = places[len(places) // 2].tolist()
        click = ActionChains(page.browser.driver).move_to_element_with_offset(
            page.canvas(), x - width // 2, y - height // 2
        )
        click.click().perform()
        until(lambda slot=slot, side=hand.side: f"hand {slot}, {side}" in page.panel())
        said = page.panel()
        assert f"{hand.score:.3f}" in said
        assert ", ".join(f"{value:.2f}" for value in hand.betas) in said
        assert f"{hand.predicted_error_mm:.1f}" in said


def test_buttons_and_names_lead_through_the_store(page):
    page.press("next")
    until(lambda: LEFT in page.panel() and "2 of 7" in page.panel())
    page.press("next")
    until(lambda: "b/refused.jpg" in page.panel() and "hands not shown: 1" in page.panel())
    page.press("next hand")  # over refused, failed and empty ones
    until(lambda: HARMFUL_NAME in page.panel())
    page.press("hand before")
    until(lambda: LEFT in page.panel())
    page.field("find name").send_keys("broken", "\ue007")
    until(lambda: "failed: expected a picture, found 7" in page.panel())


def test_names_of_a_store_are_no_markup_and_nothing_outside_is_asked_for(page):
    page.viewer.page.controls.go(list(mixed_rows()).index(HARMFUL_NAME))
    until(lambda: HARMFUL_NAME in page.panel())
    assert page.browser.driver.title not in ("harmed", "1")
    asked = page.browser.requests()
    assert page.viewer.url + "/" in asked
    own = (page.viewer.url, f"blob:{page.viewer.url}")
    assert [url for url in asked if not url.startswith(own)] == []


def test_the_panel_shows_the_picture_with_its_overlay(page):
    pictures = [image for image in page.browser.all("img") if image.is_displayed()]
    assert len(pictures) == 1
    controls = page.viewer.page.controls
    with_hands = controls._images[0].image
    controls._beside.value = "photograph"
    until(lambda: not np.array_equal(controls._images[0].image, with_hands))
    assert (controls._images[0].image == 90).all()
    controls._beside.value = "mesh"
    until(lambda: np.array_equal(controls._images[0].image, with_hands))


def test_the_page_asks_nobody_for_a_public_address(page):
    assert page.viewer.server.request_share_url() is None
    assert page.viewer.server._share_tunnel is None
