"""The options of finding hands: the section `detector`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fitter.config.section import Section


class DetectorConfig(Section):
    """Finding the hands and their 21 keypoints."""

    max_hands: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        "auto",
        description="hands kept per image, and slots in the store; auto keeps all that there are "
        "slots for (max_slots)",
    )
    max_slots: int = Field(
        16,
        ge=1,
        le=64,
        description="slots per image in the store where max_hands is auto; hands beyond are "
        "counted and said",
    )
    min_score: float = Field(
        0.3, ge=0, le=1, description="hands below this score after the second look are dropped"
    )
    unconfirmed: Literal["refuse", "keep"] = Field(
        "refuse",
        description="hands of a rig (--views) that fewer cameras show than should see them and do "
        "not, of which there are at least two: refuse stores them as not valid, keep as any other",
    )
    least_views: int = Field(
        1,
        ge=1,
        description="cameras of a rig (--views) that have to show a hand; one that fewer show is "
        "stored as not valid",
    )
    search: Literal["fast", "standard", "thorough"] = Field(
        "standard",
        description="which windows are searched for hands: fast, a few where the whole image shows "
        "none; standard, those that may show hands smaller than the ones found, all where none is; "
        "thorough, all",
    )
    second_pass: bool = Field(
        True, description="detect again in an enlarged crop around every hand that was found"
    )
    backend: Literal["builtin", "mediapipe", "onnx"] = Field(
        "builtin",
        description="what runs the networks: builtin, MediaPipe's networks as they ship with the "
        "project; mediapipe, the package of that name, which is then to be installed; onnx, the "
        "user's network in onnx_model, in hands that builtin finds",
    )
    engine: Literal["auto", "litert", "torch"] = Field(
        "auto",
        description="what computes the networks of the backend builtin: litert, on a CPU; torch, "
        "where the fit runs; auto takes torch where that is a GPU",
    )
    task: str | None = Field(
        None,
        min_length=1,
        description="file of MediaPipe's hand landmarker (.task) to find hands with, by the "
        "package mediapipe; null takes the networks of the backend",
    )

    onnx_model: str | None = Field(
        None,
        min_length=1,
        description="file of a network of 21 keypoints (.onnx) for the backend onnx, in the form "
        "of RTMPose's hand network",
    )

    @model_validator(mode="after")
    def _files_fit_the_backend(self) -> Self:
        if self.onnx_model is not None and (self.backend != "onnx" or self.task is not None):
            raise ValueError(
                "detector.backend to be onnx, without a task, where detector.onnx_model is given"
            )
        return self

    @property
    def slots(self) -> int:
        """Hands that are kept of an image."""
        return self.max_slots if self.max_hands == "auto" else self.max_hands

    @property
    def used_backend(self) -> Literal["builtin", "mediapipe", "onnx"]:
        """The backend; a task file is for the package alone."""
        return self.backend if self.task is None else "mediapipe"

    @property
    def used_file(self) -> Path | None:
        """The file that the backend takes its networks from; None for those that it brings."""
        named = {"mediapipe": self.task, "onnx": self.onnx_model}.get(self.used_backend)
        return None if named is None else Path(named)
