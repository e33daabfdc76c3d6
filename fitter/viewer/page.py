"""The page: one worker draws what the controls ask for last, and plays videos."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from html import escape

import numpy as np
import viser

from fitter.errors import InputError
from fitter.viewer.controls import Controls
from fitter.viewer.drawing import SceneDrawing
from fitter.viewer.scene import Scene, SceneMaker
from fitter.viewer.words import hand_words, scene_words

_LOG = logging.getLogger(__name__)

_FRAME_SECONDS = 1 / 30
"""Of a frame of a video whose store tells no times."""

_LONGEST_FRAME = 1.0
"""Seconds that the player waits for a frame at most: gaps of a video are not waited for."""

_STEP_BACK = (0.4, -0.3, -0.2)
"""Where the page looks from at first, as shares of the distance to the hands: from the right above
and from behind the camera, so that camera, hands and picture are seen."""


class ViewerPage:
    """What users see of a store, and do with it. All who open the page see the same.

    Attributes:
        rows: of the store.
        controls: the panel.
        scene: that is shown; None as long as none could be.
    """

    def __init__(self, server: viser.ViserServer, maker: SceneMaker) -> None:
        """Build the page of what `maker` makes, and draw the first image."""
        rows = maker.rows
        self._server, self.rows, self._maker = server, rows, maker
        self._wake, self._drawn = threading.Event(), threading.Event()
        self._is_open = True
        self._due = 0.0
        self.scene: Scene | None = None
        server.gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
        server.gui.main_panel.dock_right()
        server.scene.configure_default_lights(cast_shadow=False)  # shadows look like stains of skin
        server.gui.set_panel_label(rows.store.path.resolve().name)
        self.controls = Controls(server.gui, rows, self._ask)
        button = server.gui.add_button("look through the camera", order=-1)
        button.on_click(lambda event: self._look_through(event.client))
        self._drawing = SceneDrawing(server.scene, self.controls.choose)
        self._draw()
        self._drawn.set()
        self._worker = threading.Thread(target=self._work, name="view-hands", daemon=True)
        self._worker.start()

    def close(self) -> None:
        """End the worker."""
        self._is_open = False
        self._wake.set()
        self._worker.join()

    def wait_until_drawn(self, seconds: float) -> bool:
        """Wait until all that was asked for is sent; whether it was."""
        return self._drawn.wait(seconds)

    def _ask(self) -> None:
        self._drawn.clear()
        self._wake.set()

    def _work(self) -> None:
        while self._is_open:
            waiting = max(0.0, self._due - time.monotonic()) if self.controls.is_playing else None
            self._wake.wait(waiting)
            if not self._is_open:
                return
            if self.controls.is_playing and time.monotonic() >= self._due:
                self._play_on()
            self._wake.clear()  # what is asked for from here on needs another drawing
            self._draw()
            if not self._wake.is_set():
                self._drawn.set()

    def _play_on(self) -> None:
        """Go to the next frame, and know when the one after it is due."""
        before = self._time(self.controls.place)
        self.controls.go(self.controls.next_frame())
        now = self._time(self.controls.place)
        seconds = _FRAME_SECONDS if before is None or now is None else now - before
        wait = min(max(seconds, 0.0), _LONGEST_FRAME) / self.controls.speed
        self._due = max(self._due + wait, time.monotonic())

    def _time(self, place: int) -> float | None:
        row = self.rows.row(place)
        found = getattr(row, "time", None)
        return None if found is None or not np.isfinite(found) else float(found)

    def _draw(self) -> None:
        """Show what is asked for; what cannot be shown is said in its place."""
        wanted = self.controls.wanted
        try:
            scene = self._maker.scene(wanted.place, wanted.chosen)
            by_slot = {seen.slot: seen for seen in scene.hands}
            chosen = by_slot.get(wanted.slot) if wanted.slot is not None else None
            with self._server.atomic():
                self._drawing.draw(scene, wanted.look, wanted.slot)
                words = scene_words(scene, len(self.rows))
                self.controls.show(scene, words, hand_words(chosen))
        except InputError as error:
            self.controls.said.content = escape(str(error))
        except Exception:
            # A fault of one image must not end the page, and must be seen.
            _LOG.error("cannot show %s", self.rows.name(wanted.place), exc_info=True)
            self.controls.said.content = f"<pre>{escape(traceback.format_exc())}</pre>"
        else:
            self.scene = scene
            if not self._server.get_clients():
                self._place_camera()

    def _place_camera(self) -> None:
        """Where who opens the page looks from."""
        scene, camera = self.scene, self._server.initial_camera
        if scene is None:
            return
        down = np.array([0.0, 1.0, 0.0])
        if scene.cameras:  # of a rig, what its cameras together take for down
            down = np.mean([each.rotation.T @ down for each in scene.cameras], axis=0)
        self._server.scene.set_up_direction(tuple(-down / np.linalg.norm(down)))
        first = scene.cameras[0] if scene.cameras else None
        middle = scene.middle
        turn = np.eye(3) if first is None else first.rotation
        centre = np.zeros(3) if first is None else first.centre
        reach = float(np.linalg.norm(middle - centre))
        camera.up = tuple(-down)
        camera.position = tuple(centre + reach * (turn.T @ np.array(_STEP_BACK)))
        camera.look_at = tuple(middle)

    def _look_through(self, client: viser.ClientHandle | None) -> None:
        """Look from the first camera along its axis, so that the hands lie on their picture."""
        scene = self.scene
        if client is None or scene is None or not scene.cameras:
            return
        seen_from = scene.cameras[0]
        with client.atomic():
            client.camera.up_direction = -seen_from.rotation[1]
            client.camera.position = seen_from.centre
            client.camera.look_at = seen_from.centre + scene.depth * seen_from.rotation[2]
            client.camera.fov = seen_from.field_of_view
