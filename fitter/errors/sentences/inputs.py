"""Sentences about images, intrinsics, keypoints, masks and lists."""

SENTENCES: dict[str, str] = {}
