"""Files that say whose hands the images show."""

import json
from pathlib import Path

import pytest

from fitter.inputs.hand_sizes import HandSizes
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.people import ONE_PERSON, ImagePeople, People
from fitter.inputs.sources import Sources
from fitter.records import SharedHand
from tests.support.errors import raises

CSV = "image,person,hand\nanna/*,anna,\nben.jpg,ben,\nboth.jpg,anna,left\nboth.jpg,ben,right\n"
JSON = """{"anna/*": "anna", "ben.jpg": "ben", "both.jpg": {"left": "anna", "right": "ben"}}"""
YAML = "anna/*: anna\nben.jpg: ben\nboth.jpg: {left: anna, right: ben}\n"
NAMES = ["anna/1.jpg", "anna/2.jpg", "ben.jpg", "both.jpg", "nobody.jpg"]


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"), [("p.csv", CSV), ("p.json", JSON), ("p.yaml", YAML), ("p.YML", YAML)]
)
def test_kinds_of_files_say_the_same(tmp_path, name, content):
    people = People.open(write(tmp_path, name, content))
    people.require_for(NAMES)
    assert people.of("anna/2.jpg").of(["right", "left"]) == ["anna", "anna"]
    assert people.of("both.jpg").of(["right", "left"]) == ["ben", "anna"]
    assert people.of("both.jpg").persons == ["anna", "ben"]
    assert people.of("nobody.jpg") is None


def test_a_person_has_one_hand_of_a_side():
    sides = ["right", "right", "left", "right"]
    assert ImagePeople({"all": "anna"}).of(sides) == ["anna", None, "anna", None]
    assert ImagePeople({"1": "ben", "right": "anna"}).of(sides) == ["anna", "ben", None, None]
    assert ImagePeople({"left": "anna"}).of(sides) == [None, None, "anna", None]


def test_one_person_is_in_every_image():
    people = People.one_person()
    people.require_for(NAMES)
    assert {people.of(name).of(["left"])[0] for name in NAMES} == {ONE_PERSON}


def test_a_name_goes_before_patterns_and_numbers_are_names(tmp_path):
    people = People.open(write(tmp_path, "p.yaml", "'*': 1\nanna/2.jpg: 2\n'anna/*': 1\n"))
    assert [people.of(name).by_hand["all"] for name in NAMES[:3]] == ["1", "2", "1"]


@pytest.mark.parametrize(
    ("name", "content", "code", "facts"),
    [
        ("p.csv", "image,person\na.jpg,anna\na.jpg,ben\n", "people.twice",
         {"image": "a.jpg", "hand": "all hands"}),
        ("p.csv", "image,person,hand\na.jpg,anna,left\na.jpg,ben,left\n", "people.twice",
         {"image": "a.jpg", "hand": "the left hand"}),
        ("p.json", '{"a.jpg": "anna", "a.jpg": "ben"}', "people.twice",
         {"image": "a.jpg", "hand": "all hands"}),
        ("p.yaml", "a.jpg: anna\na.jpg: ben\n", "people.twice",
         {"image": "a.jpg", "hand": "all hands"}),
        ("p.csv", "image,person\na.jpg,\n", "people.nobody", {"image": "a.jpg"}),
        ("p.json", '{"a.jpg": null}', "people.nobody", {"image": "a.jpg"}),
        ("p.json", '{"a.jpg": {}}', "people.nobody", {"image": "a.jpg"}),
        ("p.json", '{"a.jpg": ["anna"]}', "people.nobody", {"image": "a.jpg"}),
        ("p.csv", "name,who\na.jpg,anna\n", "people.header", {"found": "name, who"}),
        ("p.csv", "image,person\na.jpg,anna,left\n", "people.line", {"line": 2}),
        ("p.csv", "image,person\na.jpg\n", "people.line", {"line": 2}),
        ("p.csv", "image;person\na.jpg;anna\n", "people.header", {"found": "image;person"}),
        ("p.csv", "image,person\n", "people.empty", {}),
        ("p.yaml", "a.jpg: [anna\nb.jpg: ben\n", "people.kind",
         {"found": "no YAML (line 2: expected ',' or ']', but got ':')"}),
        ("p.csv", "", "people.header", {"found": ""}),
        ("p.json", "{}", "people.empty", {}),
        ("p.json", '["a.jpg"]', "people.kind", {"found": "list"}),
        ("p.yaml", "just words", "people.kind", {"found": "str"}),
        ("p.csv", "image,person,hand\na.jpg,anna," + "1" * 5000, "people.hand", {"image": "a.jpg"}),
        ("p.csv", 'image,person\na.jpg,"anna\n', "people.kind", {}),
        ("p.csv", "image,person\na.jpg," + "a" * 200_000, "people.kind", {}),
        ("p.csv", "image,person,hand\na.jpg,anna,both\n", "people.hand",
         {"image": "a.jpg", "found": "both"}),
    ],
)  # fmt: skip
def test_bad_files_are_told(tmp_path, name, content, code, facts):
    path = write(tmp_path, name, content)
    with raises(code, file=path, **facts):
        People.open(path)


@pytest.mark.parametrize("name", ["p.json", "p.yaml", "p.txt"])
@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff\xd8", b'{"a.jpg": ', b"? [a]\n: {"])
def test_files_of_another_kind_are_told(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with raises("people.kind", file=path):
        People.open(path)


def test_a_missing_file_is_told(tmp_path):
    with raises("people.missing", file=tmp_path / "p.csv"):
        People.open(tmp_path / "p.csv")


@pytest.mark.parametrize("found", ["c.jpg", "carl/*"])
def test_images_that_are_not_there_are_told(tmp_path, found):
    path = write(tmp_path, "p.csv", f"image,person\nanna/*,anna\n{found},carl\n")
    with raises("people.no_image", file=path, found=found, image="anna/1.jpg"):
        People.open(path).require_for(NAMES)


def test_patterns_that_contradict_each_other_are_told(tmp_path):
    path = write(tmp_path, "p.csv", "image,person\nanna/*,anna\n*/1.jpg,carl\n")
    facts = {"image": "anna/1.jpg", "found": ["anna/*", "*/1.jpg"]}
    with raises("people.two_patterns", file=path, **facts):
        People.open(path).require_for(NAMES)


@pytest.mark.parametrize("name", ["hand[1].jpg", "what?.jpg", "a*b.jpg"])
def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path, name):
    people = People.open(write(tmp_path, "p.csv", f"image,person\n*,ben\n{name},anna\n"))
    people.require_for([name, "other.jpg"])
    assert people.of(name).of(["left"]) == ["anna"]
    sizes = HandSizes.open(write(tmp_path, "s.json", json.dumps({"*": 0.17, name: 0.18})))
    sizes.require_for([name, "other.jpg"])
    assert sizes.size_of(name) == 0.18


def sources(people: People, **more: object) -> Sources:
    return Sources(Path("in"), NAMES, Intrinsics(), people=people, **more)


def test_a_persons_hand_has_one_size(tmp_path):
    people = People.open(write(tmp_path, "p.csv", CSV))
    path = write(tmp_path, "s.json", '{"anna/*": 0.17, "both.jpg": 0.18}')
    facts = {"person": "anna", "one": 0.17, "other": 0.18, "image": "both.jpg"}
    with raises("people.two_sizes", file=path, **facts):
        sources(people, hand_sizes=HandSizes.open(path)).check(NAMES)


def test_a_size_of_all_other_images_is_no_second_size_of_a_person(tmp_path):
    people = People.open(write(tmp_path, "p.csv", CSV))
    path = write(tmp_path, "s.json", '{"anna/*": 0.17}')
    facts = {"person": "anna", "one": 0.17, "other": 0.18, "image": "both.jpg"}
    with raises("people.two_sizes", file=path, **facts):
        sources(people, hand_sizes=HandSizes.open(path, everywhere=0.18)).check(NAMES)
    sources(people, hand_sizes=HandSizes.open(path, everywhere=0.17)).check(NAMES)


def test_tasks_carry_what_their_people_share_and_no_more(tmp_path):
    people = People.open(write(tmp_path, "p.csv", CSV))
    shared = {
        (person, side): SharedHand(betas=[hash((person, side))])
        for person in ("anna", "ben", "carl")
        for side in ("left", "right")
    }
    tasks = sources(people, shared=shared).tasks(0, 5)
    assert [sorted({person for person, _ in task.shared}) for task in tasks] == [
        ["anna"], ["anna"], ["ben"], ["anna", "ben"], [],
    ]  # fmt: skip
    alone = sources(people).tasks(0, 5)
    assert [task.inputs_digest() for task in tasks] == [task.inputs_digest() for task in alone]
    assert len({task.inputs_digest() for task in tasks}) == 4  # both of anna's are alike
