"""The page of a report in a real browser: what its users see, and that it needs nothing else."""

from dataclasses import replace

import pytest

from fitter.report import ReportOptions, write_report
from fitter.report.parts import PartMaker
from fitter.store.result_store import ResultStore
from tests.support.browser import opened_browser, require_browser
from tests.support.fitted_stores import store_spec, write_images, write_store
from tests.support.report_stores import (
    HARMFUL_NAME,
    HARMFUL_REASON,
    many_rows,
    mixed_rows,
)

MANY = 5000
ESCAPE, RIGHT, LEFT, ENTER, TAB = "\ue00c", "\ue014", "\ue012", "\ue007", "\ue004"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    require_browser()
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A page of `mixed_rows`, in a folder whose name is markup."""
    folder = tmp_path_factory.mktemp("mixed")
    write_store(folder / "<b>all.zarr", mixed_rows())
    write_images(folder / "in", ["a/two.jpg", "b/left.jpg", "c/empty.jpg", "b/unfitted.jpg"])
    write_report(folder / "<b>all.zarr", folder / "page.html", folder / "in")
    return folder / "page.html"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A page of 5,000 hands; each picture is one of twelve, so that they are drawn once."""
    folder = tmp_path_factory.mktemp("many")
    write_store(folder / "many.zarr", many_rows(MANY), block_size=512)
    drawn, picture = {}, PartMaker._picture

    def picture_of_pose(maker, hand, row, pixels):
        key = hand.betas.tobytes()
        if key not in drawn:
            drawn[key] = picture(maker, hand, row, pixels)
        return drawn[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartMaker, "_picture", picture_of_pose)
        write_report(folder / "many.zarr", folder / "page.html")
    assert len(drawn) == 12
    return folder / "page.html"


def names(browser) -> list[str]:
    return [card.text for card in browser.all("#grid .name")]


def cards(browser) -> list[str]:
    """What a screen reader says of the hands that are shown."""
    return [card.get_attribute("aria-label") for card in browser.all("#grid button")]


def is_quiet(browser, page) -> bool:
    """Whether the page has asked for nothing and complained about nothing since it was opened."""
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    return True


class TestMixed:
    @pytest.fixture(autouse=True)
    def opened(self, browser, mixed):
        browser.open(mixed)
        yield
        assert is_quiet(browser, mixed)

    def test_the_worst_score_is_first_and_what_has_none_is_last(self, browser):
        found = names(browser)
        assert found[:5] == ["b/refused.jpg", "a/two.jpg", "b/left.jpg", HARMFUL_NAME, "a/two.jpg"]
        assert set(found[5:]) == {"b/unfitted.jpg", "c/empty.jpg", "c/broken.jpg"}
        assert browser.text("#count") == "1 to 8 of 8"

    @pytest.mark.parametrize(
        ("order", "first"),
        [
            ("best", ["a/two.jpg", HARMFUL_NAME, "b/left.jpg", "a/two.jpg", "b/refused.jpg"]),
            ("iou", ["a/two.jpg"]),
            ("error", [HARMFUL_NAME, "b/refused.jpg", "b/left.jpg"]),
            ("name", [HARMFUL_NAME, "a/two.jpg", "a/two.jpg", "b/left.jpg", "b/refused.jpg"]),
            ("store", ["a/two.jpg", "a/two.jpg", "b/left.jpg", "b/refused.jpg", "b/unfitted.jpg"]),
        ],
    )
    def test_other_orders(self, browser, order, first):
        browser.choose("#sort", order)
        assert names(browser)[: len(first)] == first

    def test_filters(self, browser):
        statuses = [box.get_attribute("value") for box in browser.all("#statuses input")]
        assert statuses == ["fitted", "refused", "unfitted", "no_hand", "failed"]
        labels = [label.text for label in browser.all("#statuses label")]
        assert labels == ["fitted (4)", "refused (1)", "no fit (1)", "no hand (1)", "failed (1)"]
        for box in browser.all("#statuses input")[1:]:
            box.click()
        assert len(names(browser)) == 4
        browser.choose("#side", "left")
        assert sorted(names(browser)) == ["a/two.jpg", "b/left.jpg"]
        browser.type("#search", "B/LE")
        assert names(browser) == ["b/left.jpg"] and browser.text("#count") == "1 to 1 of 1 (of 8)"
        browser.type("#search", "nothing like it")
        assert names(browser) == [] and browser.text("#count") == "None of 8 is like this"
        browser.one("#show-all").click()
        assert len(names(browser)) == 8

    def test_failures_say_why(self, browser):
        reasons = {
            card.find_element("css selector", ".name").text: why[0].text
            for card in browser.all("#grid button")
            if (why := card.find_elements("css selector", ".why"))
        }
        assert reasons["c/broken.jpg"] == "expected a picture, found 7"
        assert reasons["b/unfitted.jpg"] == "no hand explains it"
        assert reasons["b/refused.jpg"] == "looks like no hand"
        assert "left hand in a/two.jpg, score 0.20, fitted" in cards(browser)
        assert "failed in c/broken.jpg, expected a picture, found 7" in cards(browser)

    def test_details_of_a_hand(self, browser):
        browser.choose("#sort", "best")
        browser.all("#grid button")[0].click()
        facts = browser.run(
            "return Object.fromEntries([...document.querySelectorAll('#details dt')]"
            ".map((dt) => [dt.textContent, dt.nextElementSibling.textContent]))"
        )
        expected = {
            "Status": "fitted", "Image": "a/two.jpg", "Hand": "1 of 2 in the image",
            "Side": "right, probability 0.90", "Score": "0.900", "Predicted error": "3.5 mm",
            "Residual": "2.3 px", "Mask IoU": "0.870", "Size of the hand": "172 mm, given",
            "Camera": "given", "Size of the image": "96 x 64",
        }  # fmt: skip
        assert {name: facts.get(name) for name in expected} == expected
        assert browser.run("return document.querySelector('#details-image').naturalHeight") == 128

    def test_keys_alone(self, browser):
        browser.choose("#sort", "best")
        browser.run("document.querySelector('#grid button').focus()")
        browser.press(ENTER)
        assert browser.one("#details").is_displayed()
        assert browser.text("#details-title") == "right hand in a/two.jpg"
        browser.press(RIGHT)
        browser.press(RIGHT)
        assert browser.text("#details-title") == "left hand in b/left.jpg"
        browser.press(LEFT)
        assert browser.text("#details-title") == f"right hand in {HARMFUL_NAME}"
        browser.press(ESCAPE)
        assert not browser.one("#details").is_displayed()
        focused = browser.run("return document.activeElement.getAttribute('aria-label')")
        assert focused.startswith(f"right hand in {HARMFUL_NAME}")
        browser.press(TAB)
        assert browser.run("return document.activeElement.dataset.place") == "2"

    def test_everything_that_is_used_has_a_name(self, browser):
        nameless = browser.run(
            "return [...document.querySelectorAll('button, input, select, dialog, [role]')]"
            ".filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim()"
            " || e.labels?.length || e.getAttribute('aria-labelledby'))).map((e) => e.outerHTML)"
        )
        assert nameless == []
        assert all(browser.run("return [...document.images].map((i) => i.alt === '')"))

    def test_markup_in_names_and_reasons_is_text(self, browser):
        assert browser.driver.title == "<b>all.zarr: hands"
        assert browser.text("h1") == "<b>all.zarr"
        assert browser.all("#grid script, #grid img[src=x], h1 b") == []
        card = next(c for c in browser.all("#grid button") if HARMFUL_NAME in c.text)
        assert (
            card.find_element("css selector", ".why").get_property("textContent") == HARMFUL_REASON
        )
        card.click()
        assert browser.text("#details-title") == f"right hand in {HARMFUL_NAME}"

    def test_the_run_is_summed_up_and_its_configuration_is_there(self, browser):
        totals = browser.run(
            "return Object.fromEntries([...document.querySelectorAll('.totals div')]"
            ".map((d) => [d.children[0].textContent, d.children[1].textContent]))"
        )
        assert totals == {
            "images": "7", "failed images": "1", "images without a hand": "1",
            "hands fitted": "4", "hands refused": "1", "fits failed": "1",
            "mean score of fitted hands": "0.57",
        }  # fmt: skip
        text = browser.run("return document.querySelector('#run pre').textContent")
        assert '"keypoint_definition": "mediapipe"' in text
        assert (
            browser.run("return document.querySelector('#run').nextElementSibling.id") == "controls"
        )
        notes = [note.text for note in browser.all("#run .note")]
        assert len(notes) == 1 and notes[0].startswith("2 photographs could not be read")

    def test_without_persons_there_is_no_such_filter(self, browser):
        assert not browser.one("#person").is_displayed()

    def test_light_and_dark(self, browser):
        ground = "return getComputedStyle(document.body).backgroundColor"
        browser.one("#theme").click()
        light = browser.run(ground)
        browser.one("#theme").click()
        dark = browser.run(ground)
        assert light == "rgb(246, 247, 249)" and dark == "rgb(20, 23, 27)"


def test_one_hand(browser, tmp_path):
    rows = {name: row for name, row in mixed_rows().items() if name == "b/left.jpg"}
    write_store(tmp_path / "one.zarr", rows)
    write_report(tmp_path / "one.zarr", tmp_path / "page.html", options=ReportOptions(order="best"))
    browser.open(tmp_path / "page.html")
    assert names(browser) == ["b/left.jpg"] and browser.text("#page") == "Page 1 of 1"
    assert not browser.one("#next").is_enabled() and not browser.one("#previous").is_enabled()
    size = browser.run("const i = document.images[0]; return [i.naturalWidth, i.naturalHeight]")
    assert size == [128, 128]
    assert is_quiet(browser, tmp_path / "page.html")


def test_persons_where_the_store_has_them(browser, tmp_path):
    rows = {
        name: replace(
            row,
            hands=tuple(
                replace(hand, person="Ann <b>" if hand.side == "left" else "Bo")
                for hand in row.hands
            ),
        )
        for name, row in mixed_rows().items()
    }
    spec = replace(store_spec([*rows], len(rows)), has_people=True)
    with ResultStore.create(tmp_path / "r.zarr", spec) as store:
        store.write_block(store.pending_blocks()[0], [*rows.values()])
    write_report(tmp_path / "r.zarr", tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    assert [o.text for o in browser.all("#person option")] == ["everybody", "Ann <b>", "Bo"]
    browser.choose("#person", "Ann <b>")
    assert sorted(names(browser)) == ["a/two.jpg", "b/left.jpg"]
    browser.choose("#person", "")
    assert len(names(browser)) == 8 and is_quiet(browser, tmp_path / "page.html")


class TestMany:
    @pytest.fixture(autouse=True)
    def opened(self, browser, many):
        browser.open(many)
        yield
        assert is_quiet(browser, many)

    def test_it_is_there_and_stays_small(self, browser, many):
        assert many.stat().st_size < 25e6
        assert browser.text("#count") == "1 to 120 of 5,000"
        assert browser.run("return document.querySelectorAll('#grid *').length") < 1000

    def test_pages_are_turned_in_the_order_of_the_scores(self, browser):
        def scores():
            return browser.run(
                "return [...document.querySelectorAll('#grid .what span')]"
                ".map((s) => s.textContent)"
            )

        assert {*scores()} == {"0.00", "0.01", "0.02"}
        browser.one("#next").click()
        assert browser.text("#page") == "Page 2 of 42"
        assert {*scores()} == {"0.02", "0.03", "0.04", "0.05"}
        browser.choose("#sort", "best")
        assert browser.text("#page") == "Page 1 of 42" and scores()[0] == "1.00"

    def test_a_search_among_them(self, browser):
        browser.type("#search", "/03217.")
        assert names(browser) == ["day 32/03217.jpg"]
        loaded = "const i = document.images[0]; return i.complete && i.naturalWidth"
        assert browser.run(loaded) == 128

    def test_details_go_on_to_the_next_page(self, browser):
        browser.choose("#sort", "store")
        browser.all("#grid button")[119].click()
        assert browser.text("#details-title").endswith("day 1/00119.jpg")
        browser.press(RIGHT)
        assert browser.text("#details-title").endswith("day 1/00120.jpg")
        browser.press(ESCAPE)
        assert browser.text("#page") == "Page 2 of 42"
