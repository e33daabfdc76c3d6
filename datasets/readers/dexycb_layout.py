"""How DexYCB divides its recordings into splits, and which objects its numbers mean.

From github.com/NVlabs/dex-ycb-toolkit, ``dex_ycb.py``. A subject has 100 sequences, five in a row
with the object of the same place in their lists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SUBJECTS = (
    "20200709-subject-01",
    "20200813-subject-02",
    "20200820-subject-03",
    "20200903-subject-04",
    "20200908-subject-05",
    "20200918-subject-06",
    "20200928-subject-07",
    "20201002-subject-08",
    "20201015-subject-09",
    "20201022-subject-10",
)

SERIALS = (
    "836212060125",
    "839512060362",
    "840412060917",
    "841412060263",
    "932122060857",
    "932122060861",
    "932122061900",
    "932122062010",
)
"""Serial numbers of the cameras, which name their folders."""

OBJECTS = {
    1: "002_master_chef_can",
    2: "003_cracker_box",
    3: "004_sugar_box",
    4: "005_tomato_soup_can",
    5: "006_mustard_bottle",
    6: "007_tuna_fish_can",
    7: "008_pudding_box",
    8: "009_gelatin_box",
    9: "010_potted_meat_can",
    10: "011_banana",
    11: "019_pitcher_base",
    12: "021_bleach_cleanser",
    13: "024_bowl",
    14: "025_mug",
    15: "035_power_drill",
    16: "036_wood_block",
    17: "037_scissors",
    18: "040_large_marker",
    19: "051_large_clamp",
    20: "052_extra_large_clamp",
    21: "061_foam_brick",
}
"""YCB objects by the number that annotations and segmentations have for them."""

SEQUENCES = 100
"""Of a subject."""


@dataclass(frozen=True)
class Part:
    """A split.

    Attributes:
        subjects: places in `SUBJECTS`.
        serials: places in `SERIALS`.
        sequences: places in a subject's sorted sequences.
    """

    subjects: tuple[int, ...]
    serials: tuple[int, ...]
    sequences: tuple[int, ...]


def _part(
    subjects: tuple[int, ...] = tuple(range(10)),
    serials: tuple[int, ...] = tuple(range(8)),
    takes: Callable[[int], bool] = lambda place: True,
) -> Part:
    return Part(subjects, serials, tuple(filter(takes, range(SEQUENCES))))


PARTS = {
    # Every fifth sequence of seen subjects, cameras and objects.
    "s0_train": _part(takes=lambda place: place % 5 != 4),
    "s0_val": _part(subjects=(0, 1), takes=lambda place: place % 5 == 4),
    "s0_test": _part(subjects=tuple(range(2, 10)), takes=lambda place: place % 5 == 4),
    # Unseen subjects.
    "s1_train": _part(subjects=(0, 1, 2, 3, 4, 5, 9)),
    "s1_val": _part(subjects=(6,)),
    "s1_test": _part(subjects=(7, 8)),
    # Unseen cameras.
    "s2_train": _part(serials=tuple(range(6))),
    "s2_val": _part(serials=(6,)),
    "s2_test": _part(serials=(7,)),
    # Unseen objects.
    "s3_train": _part(takes=lambda place: place // 5 not in (3, 7, 11, 15, 19)),
    "s3_val": _part(takes=lambda place: place // 5 in (3, 19)),
    "s3_test": _part(takes=lambda place: place // 5 in (7, 11, 15)),
}
"""Every split by its name."""
