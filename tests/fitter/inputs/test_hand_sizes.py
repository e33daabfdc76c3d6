"""Files of sizes of hands."""

import json

import pytest

from fitter.inputs.hand_sizes import HandSizes, check_hand_size
from tests.support.errors import raises

NAMES = ["anna/1.jpg", "anna/x/2.jpg", "ben/1.jpg", "ben/with_anna.jpg"]
CONTENT = {"anna/*": 0.171, "ben/*": 0.192, "ben/with_anna.jpg": 0.171}


def written(folder, content):
    path = folder / "sizes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_names_go_before_patterns(tmp_path) -> None:
    sizes = HandSizes.open(written(tmp_path, CONTENT))
    sizes.require_for([*NAMES, "other.jpg"])
    assert [sizes.size_of(name) for name in NAMES] == [0.171, 0.171, 0.192, 0.171]
    assert sizes.size_of("other.jpg") is None


def test_a_name_that_no_image_has_is_refused(tmp_path) -> None:
    path = written(tmp_path, CONTENT | {"carl/*": 0.18})
    with raises("hand_size.no_image", file=path, found="carl/*", image=NAMES[0]):
        HandSizes.open(path).require_for(NAMES)
    path = written(tmp_path, {"1.jpg": 0.18})
    with raises("hand_size.no_image", file=path, found="1.jpg"):
        HandSizes.open(path).require_for(NAMES)


def test_two_patterns_may_agree_and_not_differ(tmp_path) -> None:
    path = written(tmp_path, {"anna/*": 0.171, "*/1.jpg": 0.171})
    HandSizes.open(path).require_for(NAMES)
    path = written(tmp_path, {"anna/*": 0.171, "*/1.jpg": 0.18})
    with raises("hand_size.two_patterns", file=path, image="anna/1.jpg"):
        HandSizes.open(path).require_for(NAMES)
    path = written(tmp_path, {"anna/*": 0.171, "*/1.jpg": 0.18, "anna/1.jpg": 0.171})
    HandSizes.open(path).require_for(NAMES)


@pytest.mark.parametrize("given", [18.5, 0.05, 0, -0.18, "0.18", None, True, [0.18], float("nan")])
def test_what_is_no_size_is_refused(tmp_path, given) -> None:
    with raises("hand_size.metres", file="here"):
        check_hand_size(given, "here")
    path = written(tmp_path, {"a.jpg": given})
    with raises("hand_size.metres", file=f"{path}: a.jpg"):
        HandSizes.open(path)


@pytest.mark.parametrize(
    ("content", "code"),
    [("[0.18]", "hand_size.layout"), ("{}", "hand_size.layout"), ("{", "json.invalid")],
)
def test_what_is_no_file_of_sizes_is_refused(tmp_path, content, code) -> None:
    path = written(tmp_path, content)
    with raises(code, file=path):
        HandSizes.open(path)


def test_a_missing_file_is_refused(tmp_path) -> None:
    with raises("json.missing", file=tmp_path / "none.json"):
        HandSizes.open(tmp_path / "none.json")
