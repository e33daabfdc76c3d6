"""Names and units of the folder that `synth-hands` writes and `datasets.readers.rendered` reads."""

SPLIT = "training"
FOLDERS = ("rgb", "mask", "depth", "truth")
DESCRIPTION = "synthetic.json"
"""The file that says what the samples were made from."""
DEPTH_UNIT = 1e-4
"""Metres a step of the depth images."""
