"""What hides a keypoint: values of `SyntheticBatch.keypoint_state`."""

VISIBLE, SELF_OCCLUDED, OCCLUDED, OUTSIDE = range(4)
"""Nothing hides it; the hand itself does; something else does, its sleeve too; it lies beyond the
image's border."""

STATE_NAMES = ("visible", "self_occluded", "occluded", "outside")
"""How files name them, in the order of their numbers."""
