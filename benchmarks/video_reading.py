"""How fast frames of a video are read, and whether an hour needs more memory than a minute.

python benchmarks/video_reading.py CLIP.mp4 work/ --minutes 1 60

A clip is repeated, packet by packet, to videos of so many minutes. Of each are measured: making its
index, reading frames in order and from anywhere in a process of its own, and `fit-hands` with
`--every` such that all fit as many frames (the fit to the keypoints alone), with its processor time
and the memory of all its processes every half second.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from measuring import (
    BenchmarkError,
    fit_hands_command,
    logged,
    parse_with_rest,
    parser,
    positive,
    remove_results,
    run_command,
    write_json,
)
from memory import OPTIONS, PAUSE, Peaks
from processes import Running
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Reading:
    """Reading a video in a process of its own.

    Attributes:
        frames: of the video.
        index_seconds: of making the index, CPU time.
        kept_seconds: of reading the index that was kept, CPU time.
        in_order, anywhere: frames a second of CPU time.
        peak_mib: the most resident memory, MiB.
    """

    frames: int
    index_seconds: float
    kept_seconds: float
    in_order: float
    anywhere: float
    peak_mib: float


def repeated(clip: Path, path: Path, minutes: int) -> Path:
    """A video of the clip again and again, of its packets as they are."""
    if path.exists():
        return path
    with av.open(str(clip)) as read:
        stream = read.streams.video[0]
        packets = [packet for packet in read.demux(stream) if packet.size]
        step = max(p.pts + (p.duration or 0) for p in packets) - min(p.pts for p in packets)
        times = int(np.ceil(minutes * 60 / float(step * stream.time_base)))
        kept = [(bytes(p), p.pts, p.dts, p.duration, p.is_keyframe) for p in packets]
        with av.open(str(path), "w") as out:
            target: Any = out.add_stream_from_template(stream)
            for turn in range(times):
                for content, pts, dts, duration, is_key in kept:
                    packet = av.Packet(content)
                    packet.stream, packet.time_base = target, stream.time_base
                    packet.pts, packet.dts = pts + turn * step, dts + turn * step
                    packet.duration, packet.is_keyframe = duration, is_key
                    out.mux(packet)
    return path


def frames_of(video: Path) -> int:
    """How many frames a video says to have."""
    with av.open(str(video)) as opened:
        return opened.streams.video[0].frames


def read(video: Path, index: Path) -> Reading:
    """Measure reading in a process of its own."""
    for file in index.glob("*"):
        file.unlink()
    script = Path(__file__).with_name("video_reading_process.py")
    words = [sys.executable, str(script), str(video), str(index)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return Reading(**json.loads(done.stdout))


def fit(video: Path, store: Path, every: int, options: Sequence[str]) -> dict[str, Any]:
    """Fit every so many frames of a video with the command.

    Raises:
        BenchmarkError: it did not end well.
    """
    remove_results(store)
    peaks, output = Peaks(), store.with_suffix(".txt")
    words = [fit_hands_command(), video, "--out", store, "--every", every, *OPTIONS, *options]
    with Running([str(word) for word in words], output) as running:
        running.watch(each=lambda members: peaks.add(members, False), pause=PAUSE)
    ended = logged(store, "ended")
    if running.status not in (0, 1) or ended is None:
        raise BenchmarkError(f"expected fit-hands to end well, found {ended}; {output} says why.")
    return {
        "frames": ended["images"],
        "frames_per_second": ended["images"] / ended["seconds"],
        "cpu_seconds": sum(running.family.cpu.values()),
        "rss": peaks.rss,
        "driver": peaks.driver,
    }


def main() -> None:
    """Measure, print and write."""
    options = parser(__doc__)
    options.add_argument("clip", type=Path)
    options.add_argument("work", type=Path)
    options.add_argument("--minutes", type=positive, nargs="+", default=[1, 60])
    options.add_argument("--frames", type=positive, default=100, help="to fit of each video")
    options.add_argument("--fit-alone", action="store_true", help="do not measure reading")
    given, rest = parse_with_rest(options)
    given.work.mkdir(parents=True, exist_ok=True)
    table = Table("minutes", "frames", "index s", "kept s", "in order /s", "anywhere /s", "MiB",
                  "fitted", "fit /s", "CPU s", "driver MiB", "all MiB")  # fmt: skip
    figures: dict[str, object] = {}
    for minutes in given.minutes:
        video = repeated(given.clip, given.work / f"{minutes}.mp4", minutes)
        found = None if given.fit_alone else read(video, given.work / "index")
        frames = frames_of(video) if found is None else found.frames
        every = max(1, round(frames / given.frames))
        fitted = fit(video, given.work / f"{minutes}.zarr", every, rest)
        figures[str(minutes)] = {"reading": found and asdict(found), "fit": fitted}
        reading = ["-"] * 5 if found is None else [
            found.index_seconds, found.kept_seconds, found.in_order, found.anywhere,
            found.peak_mib,
        ]  # fmt: skip
        shown = [frames, *reading, fitted["frames"], fitted["frames_per_second"],
                 fitted["cpu_seconds"], fitted["driver"] / 2**20,
                 fitted["rss"]["all"] / 2**20]  # fmt: skip
        cells = (each if isinstance(each, str) else f"{each:,.4g}" for each in shown)
        table.add_row(str(minutes), *cells)
    Console().print(table)
    write_json(given.json, figures)


if __name__ == "__main__":
    run_command(main)
