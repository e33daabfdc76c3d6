"""Faces of the rooms: what they name is there, importing them is light, their examples run."""

import subprocess
import sys
from importlib import import_module
from textwrap import dedent

import pytest

from tests.support.paths import ROOT

ROOMS = (
    "datasets",
    "datasets.detector",
    "datasets.evaluation",
    "datasets.poses",
    "datasets.readers",
    "datasets.synthetic",
)


@pytest.mark.parametrize("room", ROOMS)
def test_a_face_has_what_it_names(room):
    face = import_module(room)
    assert all(getattr(face, name) is not None for name in face.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = face.nothing


def test_faces_are_light():
    code = f"import sys, {', '.join(ROOMS)}; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_example_of_rendered_hands_runs():
    text = import_module("datasets.synthetic").__doc__.split("\n\n")
    example = "\n".join(part for part in text if part.startswith("    "))
    names = {}
    exec(dedent(example), names)
    assert names["batch"].image.shape == (2, 128, 128, 3)
    assert names["batch"].visible.shape == (2, 21)
