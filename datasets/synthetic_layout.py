"""Names and units of the folder that `synth-hands` writes and `datasets.readers.rendered` reads."""

SPLIT = "training"
FOLDERS = ("rgb", "mask", "depth", "truth")
DESCRIPTION = "synthetic.json"
"""The file that says what the samples were made from."""
DEPTH_UNIT = 1e-4
"""Metres a step of the depth images."""
RIG = "rig.json"
"""Of a data set of several cameras: where they stand, as ``fit-hands --views`` reads it."""
FRAMES, VERTICES = "truth", "vertices"
"""Folders of such a data set: what is true of each frame in the rig's frame, and its meshes."""
SECOND_MASK, HELD = "second_mask", "objects"
"""Folders beside `FOLDERS` of a data set of touching hands: masks of second hands, and what is
held, its meshes and where they are."""
