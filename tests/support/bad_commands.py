"""What tests share that run the real commands in the folder of the fixture `workplace`."""

FAST = ["--keypoints", "known.json", "--device", "cpu"]
"""Keypoints from a file, so that no detector need be loaded."""

ALONE = ["--init", "keypoints", "--set", "refine.stages={}"]
"""The fit to the keypoints alone: no network is loaded, and nothing is rendered."""
