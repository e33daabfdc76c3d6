"""The panel of the page: what is looked at, how, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import viser

from fitter.rendering.overlay_style import OverlayLook, OverlayStyle
from fitter.viewer.drawing import SURFACES, Look, Surface
from fitter.viewer.rows import StoreRows
from fitter.viewer.scene import HandFilter, Scene

Beside = Literal["mesh", "outline", "appearance", "photograph", "nothing"]
BESIDE: tuple[Beside, ...] = get_args(Beside)
"""What the panel shows of the picture: an overlay's look, the picture alone, or nothing."""

_SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0)

_EMPTY = np.full((1, 1, 3), 255, np.uint8)


@dataclass(frozen=True)
class Wanted:
    """What the user asks to see.

    Attributes:
        place: of the image or frame in the store.
        chosen: which hands.
        look: of the scene.
        beside: of the picture in the panel.
        slot: of the hand whose parameters are told; None for none.
    """

    place: int
    chosen: HandFilter
    look: Look
    beside: Beside
    slot: int | None


class Controls:
    """The elements of the panel, and what they say."""

    def __init__(self, gui: viser.GuiApi, rows: StoreRows, changed: Callable[[], None]) -> None:
        """Build the panel.

        Args:
            gui: of the page.
            rows: of the store that is shown.
            changed: is called whenever something else is asked for.
        """
        self._gui, self._rows, self._changed = gui, rows, changed
        self.place, self.slot = 0, None
        self._run = rows.run(0)
        self._is_setting = False
        self._has_tracks = "track" in rows.store.variable_names
        self.said = gui.add_html("")
        self._add_places()
        self._add_video()
        self._add_picture()
        self._add_hands()
        self._add_look()

    place: int
    slot: int | None

    @property
    def wanted(self) -> Wanted:
        """What is asked for now."""
        look = Look(
            surface=cast(Surface, self._surface.value),
            opacity=self._opacity.value,
            **{name: box.value for name, box in self._boxes.items()},
        )
        chosen = HandFilter(self._score.value, not self._invalid.value)
        return Wanted(self.place, chosen, look, self._beside.value, self.slot)

    @property
    def is_playing(self) -> bool:
        """Whether the video runs."""
        return bool(self._play.value) and len(self._run) > 1

    @property
    def speed(self) -> float:
        """Of the video: 1 for that of its time stamps."""
        return float(self._speed.value)

    def next_frame(self) -> int:
        """The place of the frame that follows; the first after the last."""
        return self._run[(self.place - self._run.start + 1) % len(self._run)]

    def go(self, place: int) -> None:
        """Look at another image or frame."""
        if not 0 <= place < len(self._rows) or place == self.place:
            return
        self.place = place
        if place not in self._run:
            self.slot = None
            self._run = self._rows.run(place)
        self._show_place()
        self._changed()

    def choose(self, slot: int | None) -> None:
        """Tell the parameters of another hand."""
        self.slot = slot
        self._changed()

    def show(self, scene: Scene, words: str, hand: str) -> None:
        """Say what is seen of a scene: HTML of it and of the chosen hand, and its picture."""
        self.said.content, self.hand.content = words, hand
        wanted = self.wanted
        for number, image in enumerate(self._images):
            camera = scene.cameras[number] if number < len(scene.cameras) else None
            picture = None
            if camera is not None and wanted.beside == "photograph":
                picture = camera.pixels
            elif camera is not None and wanted.beside != "nothing":
                style = OverlayStyle(cast(OverlayLook, wanted.beside))
                picture = scene.overlay(camera, style)
            image.visible = picture is not None
            image.image = _EMPTY if picture is None else picture

    def _show_place(self) -> None:
        """Put the sliders where the place is, which is no wish of the user's."""
        self._is_setting = True
        try:
            if self._slider is not None:
                self._slider.value = self.place + 1
            self._video.visible = len(self._run) > 1
            if len(self._run) > 1:
                self._frame.max = len(self._run)
                self._frame.value = self.place - self._run.start + 1
        finally:
            self._is_setting = False

    def _add_places(self) -> None:
        rows, item = self._rows, self._rows.store.kind.item
        self._slider: Any = None
        if len(rows) > 1:
            self._slider = self._gui.add_slider(item, 1, len(rows), 1, 1)
            self._slider.on_update(lambda event: self._slid(event, 0))
            steps = self._gui.add_button_group(
                "go to", ("previous", "next", "hand before", "next hand")
            )
            steps.on_click(lambda _: self._step(steps.value))
            find = self._gui.add_text("find name", "", hint="The next name with this text in it.")
            find.on_update(lambda _: self._find(find.value))

    def _add_video(self) -> None:
        self._video = self._gui.add_folder("video")
        with self._video:
            self._frame: Any = self._gui.add_slider("frame", 1, max(2, len(self._run)), 1, 1)
            self._frame.on_update(lambda event: self._slid(event, self._run.start))
            self._play = self._gui.add_checkbox("play", False)
            self._play.on_update(self._say)
            self._speed = self._gui.add_dropdown(
                "speed", tuple(map(str, _SPEEDS)), initial_value="1.0"
            )
        self._video.visible = len(self._run) > 1

    def _add_picture(self) -> None:
        with self._gui.add_folder("picture"):
            self._beside = self._gui.add_dropdown("shows", BESIDE, initial_value="mesh")
            self._beside.on_update(self._say)
            rig = self._rows.store.rig
            names = [None] if rig is None else list(rig.names)
            self._images = [self._gui.add_image(_EMPTY, label=name) for name in names]

    def _add_hands(self) -> None:
        with self._gui.add_folder("hands"):
            self._score = self._gui.add_slider("least score", 0.0, 1.0, 0.01, 0.0)
            self._invalid = self._gui.add_checkbox(
                "refused ones too", False, hint="Hands that were fitted and are not valid."
            )
            for element in (self._score, self._invalid):
                element.on_update(self._say)
            self.hand = self._gui.add_html("")

    def _add_look(self) -> None:
        with self._gui.add_folder("scene"):
            surfaces = [name for name in SURFACES if name != "track" or self._has_tracks]
            first = "track" if self._has_tracks else "skin"
            self._surface = self._gui.add_dropdown(
                "mesh",
                surfaces,
                initial_value=first,
                hint="skin: its texture or colours, in an even light",
            )
            self._opacity = self._gui.add_slider(
                "opacity", 0.1, 1.0, 0.05, 1.0, hint="Of meshes of one colour."
            )
            default = Look()
            names = ("skeleton", "joints", "wrists", "trails", "cameras", "pictures")
            self._boxes = {
                name: self._gui.add_checkbox(name, getattr(default, name)) for name in names
            }
            self._boxes["trails"].visible = self._has_tracks
            elements: list[Any] = [self._surface, self._opacity, *self._boxes.values()]
            for element in elements:
                element.on_update(self._say)

    def _say(self, _: Any) -> None:
        self._changed()

    def _slid(self, event: Any, start: int) -> None:
        if not self._is_setting and event.client is not None:
            self.go(start + int(event.target.value) - 1)

    def _step(self, way: str) -> None:
        score = self._score.value
        places = {
            "previous": lambda: self.place - 1,
            "next": lambda: self.place + 1,
            "hand before": lambda: self._rows.next_hand(self.place, -1, score),
            "next hand": lambda: self._rows.next_hand(self.place, 1, score),
        }
        place = places[way]()
        if place is not None:
            self.go(place)

    def _find(self, text: str) -> None:
        place = self._rows.find(text, self.place) if text else None
        if place is not None:
            self.go(place)
