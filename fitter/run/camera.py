"""A run over what a camera shows: it is recorded first, beside the store, and seen meanwhile.

RunRequest with a camera -> `records` -> `recorded` -> RunRequest of a video
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, radians
from pathlib import Path
from typing import Self

import numpy as np

from fitter.config.options import Config
from fitter.errors import InputError, UserError
from fitter.inputs.camera_streams import (
    Recorded,
    opened_camera,
    record,
    require_camera,
    without_password,
)
from fitter.inputs.intrinsics import Intrinsics
from fitter.run.progress import console_for, say
from fitter.run.request import RunRequest
from fitter.store.layout import is_result_store
from fitter.system.isolation import Isolated, Lost
from fitter.system.messages import count
from fitter.system.stopping import StopRequest

log = logging.getLogger(__name__)

SHOW_SECONDS = 60.0
"""Within this time the hands of a frame are fitted and shown; the first one compiles a lot."""


def records(request: RunRequest) -> bool:
    """Whether a run has to record its camera: one that is continued takes the recording that is
    there.

    Raises:
        InputError: there is a recording that is neither continued nor replaced, results to be
            continued whose recording is gone, or no such camera.
    """
    path = recording_of(request)
    if request.resume and not path.exists() and is_result_store(request.out):
        # Another recording has other frames under the names of those that were fitted.
        raise InputError("camera.recording_gone", file=path, out=request.out)
    if path.exists() and not request.overwrite:
        if request.resume:
            return False
        raise InputError("camera.recorded", file=path)
    assert request.camera is not None  # else there is nothing to record
    require_camera(request.camera)
    return True


def of_recording(request: RunRequest) -> RunRequest:
    """The same request of the video that the camera's frames are recorded to."""
    return replace(request, images=[str(recording_of(request))], camera=None)


def recorded(request: RunRequest, config: Config) -> str:
    """Record what a camera shows.

    The recording ends with Ctrl-C, with a key in the window, after `FrameChoice.end` seconds, or
    when the camera goes away.

    Args:
        request: with a camera; all that may refuse it without the camera's frames has been asked.
        config: of the run.

    Returns:
        The sentence that says that the camera went away before it was told to end, or an empty
        text.

    Raises:
        InputError: there is no such camera, it shows nothing, or it cannot be recorded.
    """
    path, console = recording_of(request), console_for(request.quiet)
    assert request.camera is not None  # else there is nothing to record
    longest = request.frames.end or inf
    with (
        opened_camera(request.camera) as video,
        StopRequest(lambda: say(console, "the recording ends, and is fitted")) as stop,
        _Window.opened(request, config, lambda text: say(console, text)) as window,
    ):
        camera = without_password(request.camera)
        say(console, f"recording camera {camera}; Ctrl-C ends the recording, not the run")
        found = record(
            video,
            path,
            lambda seconds: not stop.asked and not window.is_closed and seconds < longest,
            window.take if window.is_there else None,
        )
    say(console, f"{count(found.frames, 'frame')} recorded: {path}")
    return _gone(found, request.camera)


def recording_of(request: RunRequest) -> Path:
    """Where the frames of a run's camera are recorded."""
    return request.out.with_name(f"{request.out.name}.camera.mkv")


def _gone(found: Recorded, camera: str) -> str:
    if not found.ended:
        return ""
    frames = count(found.frames, "frame")
    facts = {"file": f"--camera {camera}", "frames": frames, "reason": found.ended}
    return str(InputError("camera.gone", **facts))


def has_display() -> bool:
    """Whether a window can be opened, as far as the environment tells."""
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@dataclass
class _Window:
    """Shows the newest frame with its hands, in a thread that waits for a process of its own.

    Attributes:
        view: the process, or None where there is no display.
        tell: says one line.
        is_closed: whether the user has ended the recording there.
    """

    view: Isolated | None
    tell: Callable[[str], None]
    is_closed: bool = False
    _newest: np.ndarray | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_over: bool = False
    _thread: threading.Thread | None = None

    @staticmethod
    def opened(request: RunRequest, config: Config, tell: Callable[[str], None]) -> _Window:
        """A window for a run, or none where there is no display, which is said."""
        if not has_display():
            tell("no display: the camera is recorded and not shown")
            return _Window(None, tell)
        from fitter.workers.live_view import LiveView

        view = radians(config.camera.default_fov_degrees)
        intrinsics = Intrinsics.from_option(request.intrinsics, view)
        return _Window(Isolated(LiveView, config, intrinsics, request.overlay_style), tell)

    @property
    def is_there(self) -> bool:
        """Whether somebody may look."""
        return self.view is not None

    def take(self, pixels: np.ndarray) -> None:
        """The newest frame, (H, W, 3) uint8 RGB."""
        with self._changed:
            self._newest = pixels
            self._changed.notify()

    def __enter__(self) -> Self:
        if self.view is not None:
            self._thread = threading.Thread(target=self._show, name="window", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()
        if self.view is not None:
            self.view.close()

    def _show(self) -> None:
        while (pixels := self._next()) is not None:
            try:
                assert self.view is not None  # else there is no thread
                goes_on = self.view.call("show", pixels, timeout=SHOW_SECONDS)
            except (Lost, UserError, RuntimeError) as error:
                if not self._is_over:
                    log.info("no window: %s", error)
                    self.tell("the window cannot be shown: the camera is recorded all the same")
                return
            if not goes_on:
                self.is_closed = True
                return

    def _next(self) -> np.ndarray | None:
        """The newest frame, waited for; None when the recording is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._is_over)
            pixels, self._newest = self._newest, None
            return None if self._is_over else pixels
