"""The figures of `benchmarks/kills.py`: one kill, how its store differs, tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import zarr
from rich.console import Console
from rich.table import Table

from fitter.store.schema import IMAGE_STATUS

PATIENCE = 15.0
"""Seconds that the processes of a dead command have to end by themselves."""


@dataclass(frozen=True)
class Kill:
    """One kill and what became of the run.

    Attributes:
        victim: which kind of process was to be killed.
        number: of the kill among those of its victim.
        seed: of the moments.
        process: what was killed; empty where every run ended before its moment.
        moment: seconds after the command's start.
        done: images in committed blocks at that moment.
        status: exit status of the command, below zero for a signal.
        finished: whether its log says that it reached its end.
        said: the last line that the command printed.
        hung: whether the command had to be ended.
        left_over: processes that outlived the command and had to be ended.
        resumed: exit status of every run with --resume, None for one that hung.
        seconds: from the kill on until the store was done.
        arrays: names of arrays that are not those of the undisturbed store bit for bit.
        files: files that are not those of the undisturbed store byte for byte.
        beside: unfinished stores that were left beside the store.
        pending: images that are still pending.
        twice: images whose name is there more than once.
    """

    victim: str
    number: int
    seed: int
    process: str
    moment: float
    done: int
    status: int
    finished: bool
    said: str
    hung: bool
    left_over: tuple[str, ...]
    resumed: tuple[int | None, ...]
    seconds: float
    arrays: tuple[str, ...]
    files: tuple[str, ...]
    beside: tuple[str, ...]
    pending: int
    twice: int

    @property
    def went_on(self) -> bool:
        """Whether the command reached its end in spite of the kill."""
        return self.finished and self.status in (0, 1)

    @property
    def sentence(self) -> str:
        """It in one line."""
        how = "hung" if self.hung else f"status {self.status}"
        how += "" if self.finished or not self.said else f" ({self.said})"
        resumed = " ".join(map(str, self.resumed))
        wrong = "; ".join(wrongs(self)) or "equal"
        return (
            f"{self.victim} {self.number}: {self.process or 'nothing'} killed at {self.moment:.2f} "
            f"s, {self.done} images done; {how}, resumed {resumed}, {self.seconds:.1f} s; {wrong}"
        )


@dataclass(frozen=True)
class Differences:
    """Arrays that are not the same bit for bit, and files that are not byte for byte."""

    arrays: list[str]
    files: list[str]


@dataclass(frozen=True)
class State:
    """What a store holds; of one that cannot be read nothing is there."""

    images: int = 0
    pending: int = 0
    failed: int = 0
    twice: int = 0
    block_size: int = 0

    def __str__(self) -> str:
        return f"{self.images} images, {self.failed} failed, {self.pending} pending"


def state_of(store: Path) -> State:
    if not store.exists():
        return State()
    group = zarr.open_group(store, mode="r")
    status, names = group["image_status"][:], group["image_name"][:].tolist()
    return State(
        images=len(names),
        pending=int((status == IMAGE_STATUS.index("pending")).sum()),
        failed=int((status == IMAGE_STATUS.index("failed")).sum()),
        twice=len(names) - len(set(names)),
        block_size=group.attrs["block_size"],
    )


def differences(store: Path, reference: Path) -> Differences:
    """Compare two stores in whatever they hold, read through Zarr and as files."""
    files = {path: _content(store, path) for path in _files(store)}
    expected = {path: _content(reference, path) for path in _files(reference)}
    changed = [p for p in files.keys() | expected.keys() if files.get(p) != expected.get(p)]
    if not store.exists():
        return Differences(["no store"], sorted(changed))
    group, other = (zarr.open_group(path, mode="r") for path in (store, reference))
    names = {name for each in (group, other) for name, _ in each.arrays()}
    arrays = [name for name in sorted(names) if not _same(group.get(name), other.get(name))]
    if group.attrs.asdict() != other.attrs.asdict():
        arrays.append("attributes")
    return Differences(arrays, sorted(changed))


def _same(array: zarr.Array | None, other: zarr.Array | None) -> bool:
    # What is said about the arrays is in their files.
    if array is None or other is None:
        return False
    left, right = array[:], other[:]
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype.kind in "OTU":  # texts
        return left.tolist() == right.tolist()
    return left.tobytes() == right.tobytes()  # NaN has many bit patterns, and they count


def _files(store: Path) -> list[str]:
    return [str(p.relative_to(store)) for p in store.rglob("*") if not p.is_dir()]


def _content(store: Path, path: str) -> bytes:
    return (store / path).read_bytes()


def wrongs(kill: Kill) -> list[str]:
    """What is not as it has to be, as clauses."""
    found = []
    if not kill.process and kill.victim != "nobody":
        found.append("nothing was killed")
    if kill.hung:
        found.append("the command hung")
    # What status 0 and 1 say is that all is done; others are right where the command cannot go on.
    has_to = kill.victim in ("worker", "detector", "nobody") or kill.status in (0, 1)
    if has_to and not (kill.went_on or kill.hung):
        done = "" if kill.finished else ", not finished"
        found.append(f"the command ended with status {kill.status}{done}")
    if kill.resumed[-1] not in (0, 1):
        found.append(f"never done with --resume, status {kill.resumed[-1]}")
    for kind, names in (
        ("arrays", kill.arrays),
        ("files", kill.files),
        ("left beside the store", kill.beside),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            found.append(f"{kind}: {', '.join(names[:3])}{more}")
    if kill.pending:
        found.append(f"{kill.pending} images pending")
    if kill.twice:
        found.append(f"{kill.twice} names more than once")
    return found


def read_kills(path: Path) -> list[Kill]:
    """The kills of earlier starts; a half line that an interruption left is removed."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    names = {field.name for field in fields(Kill)}
    lines = [json.loads(line) for line in whole.splitlines()]
    return [
        Kill(**{k: tuple(v) if isinstance(v, list) else v for k, v in line.items() if k in names})
        for line in lines
    ]


def show(kills: Sequence[Kill], images: int) -> None:
    """Print a line for each victim, and what was wrong."""
    table = Table(title=f"{images} images; done: when killed; equal: in arrays, in files")
    for heading in ("victim", "kills", "went on", "equal", "moment, s", "done", "resumes",
                    "s to the end"):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "victim" else "right")
    for victim in dict.fromkeys(one.victim for one in kills):
        some = [one for one in kills if one.victim == victim]
        arrays, files = (sum(not k.arrays for k in some), sum(not k.files for k in some))
        table.add_row(
            victim,
            str(len(some)),
            str(sum(one.went_on for one in some)),
            f"{arrays}, {files}",
            _range([one.moment for one in some], ".1f"),
            _range([one.done for one in some], "d"),
            str(sum(len(one.resumed) for one in some)),
            _range([one.seconds for one in some], ".1f"),
        )
    console = Console()
    console.print(table)
    for one in kills:
        if one.left_over:
            names = ", ".join(sorted(set(one.left_over)))
            text = f"ended after {PATIENCE:g} s: {one.victim} {one.number}: {names}"
            console.print(text, highlight=False, markup=False)
        if wrong := wrongs(one):
            text = f"wrong: {one.victim} {one.number} ({one.process}): {'; '.join(wrong)}"
            console.print(text, highlight=False, markup=False)


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}}-{max(values):{form}}"
