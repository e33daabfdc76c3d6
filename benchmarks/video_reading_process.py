"""What `video_reading.py` measures in a process that has nothing else in memory.

python benchmarks/video_reading_process.py CLIP.mp4 index/
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from fitter.inputs.video_index import video_index
from fitter.inputs.video_reader import VideoReader

IN_ORDER, ANYWHERE = 600, 60
"""Frames that are read."""


def measured(video: Path, index: Path) -> dict[str, float]:
    """The fields of `video_reading.Reading`. Times are CPU time of the one thread."""
    begun = time.process_time()
    video_index(video, index)
    made = time.process_time()
    found = video_index(video, index)
    kept = time.process_time()
    reader = VideoReader(video, found)
    count = min(IN_ORDER, len(found))
    for number in range(count):
        reader.frame(number)
    in_order = time.process_time()
    for number in np.random.default_rng(0).integers(0, len(found), ANYWHERE).tolist():
        reader.frame(number)
    anywhere = time.process_time()
    return {
        "frames": len(found),
        "index_seconds": made - begun,
        "kept_seconds": kept - made,
        "in_order": count / (in_order - kept),
        "anywhere": ANYWHERE / (anywhere - in_order),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1]), Path(sys.argv[2]))))
