"""Samples in which hands touch: each other, or what they hold."""

from __future__ import annotations

import torch

from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.records import SyntheticBatch
from datasets.synthetic.touching.grasps import GraspSampler
from datasets.synthetic.touching.pairs import PairSampler
from datasets.synthetic.touching.records import Interaction
from datasets.synthetic.touching.request import InteractionKind


class InteractionEngine:
    """Samples and renders scenes of one data set.

    Attributes:
        engine: renders them; its settings leave other hands and things to chance, which scenes here
            do not have, and gloves, which would swell into what is touched.
        what: which scenes: pairs of hands, hands that hold something, or both in turn.
    """

    def __init__(self, engine: SyntheticEngine, what: InteractionKind) -> None:
        if engine.settings.glove_share > 0:
            raise ValueError("expected hands without gloves, which would swell into each other")
        self.engine, self.what = engine, what
        self._pairs, self._grasps = PairSampler(engine), GraspSampler(engine)

    @torch.no_grad()
    def sample(self, seed: int, index: int) -> Interaction:
        """Scene `index` of the data set `seed`, both non-negative; nothing else decides it.

        Raises:
            RuntimeError: none was found, see `PairSampler.sample` and `GraspSampler.sample`.
        """
        pair = self.what == "hands" or (self.what == "both" and index % 2 == 0)
        return (self._pairs if pair else self._grasps).sample(seed, index)

    def render(self, scene: Interaction) -> tuple[SyntheticBatch, ...]:
        """A batch of one for each hand, the right one first; see
        `SyntheticEngine.render_hands`."""
        if scene.held is None or scene.thing is None:
            return self.engine.render_hands(scene.specs)
        places = torch.from_numpy(scene.held.vertices)
        return self.engine.render_hands(scene.specs, scene.thing.drawn, places)
