"""What the networks take and give, for those who do not load them."""

PALM_PIXELS = 192
"""Side of the window that the palm network sees."""

PALM_VALUES = 18
"""Numbers of a palm: centre and size of its box, then 7 keypoints, x before y."""

CELLS = ((24, 2), (12, 6))
"""Cells along a side, and anchors in a cell, of the maps that palms are read off, in the order of
the output."""

LANDMARK_PIXELS = 224
"""Side of the window that the landmark network sees."""

FEATURES = 1152
"""Numbers that the landmark network's dense layers read: the mean of its last maps."""
