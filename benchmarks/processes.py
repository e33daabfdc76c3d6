"""A command with all its processes, as Linux tells of them in /proc: memory and processor time.

A run of `fit-hands` is more than one process: those that detect hands, and with Ray its
daemons and workers, which need not descend from the command.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ROLES = ("driver", "detecting", "ray worker", "ray", "other")
"""The command's own process; those that decode images and find hands; Ray's that run tasks and
actors; Ray's daemons; what else the command started."""

_TICKS = os.sysconf("SC_CLK_TCK")
_SESSION = re.compile(r"/(session_\d[-_\d]+)/")
_DAEMONS = ("/raylet", "/gcs_server")
_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")

Key = tuple[int, int]
"""A process for ever: its number, which is used again, and when it started."""


@dataclass(frozen=True)
class Process:
    """A process at one moment.

    Attributes:
        pid: its number.
        started: when, in ticks since the machine started.
        parent: number of its parent.
        ended: whether it ended and only waits for its parent to ask how.
        cpu: seconds of processor time of all its threads so far.
    """

    pid: int
    started: int
    parent: int
    ended: bool
    cpu: float

    @property
    def key(self) -> Key:
        return self.pid, self.started


@dataclass(frozen=True)
class Member:
    """A living process of a family, what it is called, and which of `ROLES` it has."""

    process: Process
    command: str
    role: str

    @property
    def title(self) -> str:
        """A short name: Ray's title, or the program's file."""
        return self.command if self.command.startswith("ray::") else Path(_program(self)).name

    @property
    def is_daemon(self) -> bool:
        """Whether it is the head of a Ray cluster, or what a machine of it depends on."""
        return _program(self).endswith(_DAEMONS)


@dataclass(frozen=True)
class Memory:
    """Memory of a process, bytes.

    Attributes:
        pss: resident pages, one that several processes share counted by its share.
        rss: resident pages.
        peak_rss: the most of them since it started, also between two observations.
    """

    pss: int
    rss: int
    peak_rss: int


def processes() -> dict[int, Process]:
    """All processes of the machine."""
    found = (_read(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208
    return {process.pid: process for process in found if process is not None}


def memory_of(pid: int) -> Memory | None:
    """None where the process is gone or may not be asked."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
        return Memory(_bytes("Pss", rollup), _bytes("Rss", rollup), _bytes("VmHWM", status))
    except (OSError, AttributeError):  # it ended meanwhile
        return None


class Family:
    """A process, all that descend from it, and the Ray session that it works with.

    Who was seen as a descendant stays one when its parent ends.

    Attributes:
        cpu: processor time of each process, seconds, as it was last seen; of processes that were
            there before, what they took since.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self.cpu: dict[Key, float] = {}
        self.roles: dict[Key, str] = {}
        self._before: dict[Key, float] = {}
        self._session: str | None = None
        self._owns_session = False
        self._sessions: dict[Key, str | None] = {}
        first = _read(root)
        self._born = first.started if first is not None else 0
        self._descended: set[Key] = {(root, self._born)}

    def observe(self) -> list[Member]:
        """Who lives now."""
        found = processes()
        self._adopt(found)
        members = []
        for process in found.values():
            descended = process.key in self._descended
            command = _command(process.pid) if descended or self._session else ""
            if not descended and not self._is_in_session(process, command):
                continue
            old = not descended and process.started < self._born
            before = self._before.setdefault(process.key, process.cpu if old else 0.0)
            self.cpu[process.key] = process.cpu - before
            if not process.ended:
                role = self._role(process, command)
                if not command:  # it is just ending, and has no words any more
                    role = self.roles.get(process.key, role)
                self.roles[process.key] = role
                members.append(Member(process, command, role))
        self._find_session(members)
        return members

    def cpu_by_role(self) -> dict[str, float]:
        """Seconds of processor time so far."""
        found = dict.fromkeys(ROLES, 0.0)
        for key, seconds in self.cpu.items():
            found[self.roles.get(key, "other")] += seconds
        return found

    def end(self) -> list[Member]:
        """Kill who is left of those that the run itself started; who they were.

        A Ray cluster that was there before is left alone.
        """
        left = self.own()
        for member in left:
            kill(member.process)
        return left

    def own(self) -> list[Member]:
        """Who lives now of those that the run itself started."""
        members = self.observe()
        return [m for m in members if self._owns_session or m.process.key in self._descended]

    def _adopt(self, found: dict[int, Process]) -> None:
        def is_new(process: Process) -> bool:
            parent = found.get(process.parent)
            known = self._descended
            return process.key not in known and parent is not None and parent.key in known

        while new := {process.key for process in found.values() if is_new(process)}:
            self._descended |= new

    def _find_session(self, members: Iterable[Member]) -> None:
        if self._session is not None:
            return
        started = (m.command for m in members if m.is_daemon and m.process.key in self._descended)
        daemon = next(started, None)
        self._owns_session = daemon is not None
        self._session = _session(daemon) if daemon is not None else _open_session(self.root)

    def _is_in_session(self, process: Process, command: str) -> bool:
        if self._session is None or not (command.startswith("ray::") or "/ray/" in command):
            return False
        # A worker's title says nothing of its session; the logs that it has open do.
        if self._sessions.get(process.key) is None:
            self._sessions[process.key] = _session(command) or _open_session(process.pid)
        return self._sessions[process.key] == self._session

    def _role(self, process: Process, command: str) -> str:
        if process.pid == self.root:
            return "driver"
        if "fitter.system.isolation" in command:
            return "detecting"
        if command.startswith("ray::") and command not in _AGENTS:
            return "ray worker"
        return "ray" if command in _AGENTS or "/ray/" in command else "other"


@dataclass
class Running:
    """A command that runs, to be used in a ``with`` block that ends all its processes.

    Attributes:
        words: of the command.
        output: file for what it prints, added at the end.
        status: its exit status once it ended, below zero for the signal that ended it; None where
            it was ended by leaving the block.
        seconds: from its start to its end.
    """

    words: Sequence[object]
    output: Path
    status: int | None = None
    seconds: float = 0.0
    family: Family = field(init=False)
    _begun: float = field(init=False)

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        with self.output.open("ab") as file:
            self._process = subprocess.Popen(
                [str(word) for word in self.words],
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
            )
        self.family = Family(self._process.pid)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self.seconds = self.seconds or self.elapsed
        self.family.end()

    @property
    def elapsed(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._begun

    def watch(
        self,
        until: float = float("inf"),
        each: Callable[[list[Member]], bool | None] = lambda members: None,
        pause: float = 0.1,
    ) -> bool:
        """Observe its processes again and again.

        Args:
            until: seconds after its start at which to go away.
            each: told who lives at each observation; True from it ends the watch.
            pause: seconds between two observations.

        Returns:
            Whether the command has ended.
        """
        while self.status is None:
            # Not reaped before the last observation, which then sees the driver's whole time.
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            has_ended = os.waitid(os.P_PID, self._process.pid, how) is not None
            stops = each(self.family.observe())
            if has_ended:
                self.seconds = self.elapsed
                self.status = self._process.wait()
            elif stops or self.elapsed >= until:
                return False
            else:
                time.sleep(max(0.0, min(pause, until - self.elapsed)))
        return True


def kill(process: Process) -> bool:
    """Kill a process, and no other that got its number meanwhile; whether it was there."""
    now = _read(process.pid)
    if now is None or now.key != process.key or now.ended:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
        return True
    return False


def _read(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # Its name stands in brackets and may hold anything; state, parent and the others follow.
    fields = text.rsplit(")", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    return Process(pid, int(fields[19]), int(fields[1]), fields[0] in "ZX", cpu)


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return words.replace(b"\0", b" ").decode(errors="replace").strip()


def _program(member: Member) -> str:
    return member.command.split(" ", 1)[0]


def _bytes(name: str, text: str) -> int:
    return 1024 * int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE).group(1))


def _session(command: str) -> str | None:
    found = _SESSION.search(command)
    return None if found is None else found.group(1)


def _open_session(pid: int) -> str | None:
    """The Ray session in whose folder a process has files open."""
    with contextlib.suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if found := _session(str(handle.readlink())):
                    return found
    return None
