"""Names of what is made for an image or a person: in the folder, and each another one."""

import os
from itertools import combinations

import pytest

from fitter.system.file_names import is_below, name_below

ODD = [
    *("a", ".", "..", "_up", "__up", "_here", "_root", "_upper", "/a", "a/", "a/.", "a/..", "./a"),
    *("../a", "_up/a", "/../a", "_root/a", "_root/_up/a", "a//b", "a/b", "a/_root/b", "..a", "/"),
]


def test_each_name_has_a_place_of_its_own_in_the_folder():
    places = {name: os.path.normpath(name_below(name, ".glb")) for name in ODD}
    for one, other in combinations(ODD, 2):
        assert places[one] != places[other], (one, other)
    for place in places.values():
        assert not place.startswith(("/", "../")) and place.endswith(".glb")
        assert not place.startswith(".glb")  # hidden, or of no name at all


@pytest.mark.parametrize("ending", [".jpg", "_999_right.measured.png.partial"])
@pytest.mark.parametrize("letter", ["a", "é", "手"])
def test_no_name_is_too_long_for_a_file_system(ending, letter):
    found = [name_below(letter * count, ending) for count in range(60, 300)]
    assert len(set(found)) == len(found)
    assert max(len(name.encode()) for name in found) <= 255
    assert all(name.endswith(ending) for name in found)
    long = name_below(f"folder/{letter * 300}", ending)
    assert long.startswith("folder/") and len(long.encode()) <= 255 + len("folder/")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.jpg", True), ("a/..b.jpg", True), ("../a", False), ("a/../../b", False), ("/a", False)],
)
def test_names_that_lead_out_of_their_folder(name, expected):
    assert is_below(name) == expected
