"""The configuration of a training run: every option, typed, frozen, with its unit.

It is read as that of `fit-hands` is (`fitter.config.files`): from a YAML file, or a preset in
``configs/train``, and from single overrides on top. Only `network` has no default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from fitter.config.files import ConfigKind, Flag, load_kind
from fitter.config.section import Section, mistake
from init_net.networks.config import (
    AutoencoderConfig,
    JointVAEConfig,
    NetworkConfig,
    StereoConfig,
)
from init_net.samples.config import (
    AugmentationConfig,
    DatasetConfig,
    HeldOutConfig,
    PosedHandsConfig,
    SamplesConfig,
    StereoSamplesConfig,
)
from init_net.training.run_config import OptimiserConfig, TrainRunConfig
from init_net.training.stage_config import StageConfig
from init_net.training.supervision_config import SupervisionConfig

StoredConfig = SamplesConfig | DatasetConfig | StereoSamplesConfig
"""What a run may learn from that lies on disk."""

SourceConfig = StoredConfig | PosedHandsConfig
"""What a run may learn from."""


class TrainConfig(Section):
    """Everything a training run can be told."""

    network: NetworkConfig = Field(description="which network, and how large")
    data: SamplesConfig = Field(default_factory=SamplesConfig)
    further_data: tuple[SamplesConfig, ...] = Field(
        (),
        strict=False,  # YAML knows lists alone
        description="samples of other kinds that are learned from as well, each as `data`",
    )
    datasets: dict[str, DatasetConfig] = Field(
        default_factory=dict,
        description="annotated data sets, and stores of fit-hands as pseudo-labels, by a name "
        "each, that are learned from as well",
    )
    pairs: StereoSamplesConfig | None = Field(
        None,
        description="rendered pairs that a stereo network learns from and is validated on, instead "
        "of all other samples; null for any other network",
    )
    posed_hands: PosedHandsConfig | None = Field(
        None,
        description="hands without images that a joint_vae learns from and is validated on, "
        "instead of all other samples; null for its defaults and for any other network",
    )
    validation: HeldOutConfig = Field(default_factory=HeldOutConfig)
    validation_datasets: dict[str, DatasetConfig] = Field(
        default_factory=dict,
        description="annotated pictures that are validated on instead of `validation`, or beside "
        "it, by names",
    )
    optimiser: OptimiserConfig = Field(default_factory=OptimiserConfig)
    losses: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="weights of the loss terms by name; those not given keep the task's own",
    )
    stages: dict[str, StageConfig] = Field(
        default_factory=dict,
        description="by their names, in order; none for one of the whole network, of "
        "optimiser.steps",
    )
    supervision: SupervisionConfig | None = Field(
        None, description="of an autoencoder, null for its defaults and for any other network"
    )
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    run: TrainRunConfig = Field(default_factory=TrainRunConfig)

    def resolved(self) -> dict[str, Any]:
        """Every option with its value, as nested JSON-able dictionaries."""
        return self.model_dump(mode="json")

    @property
    def sources(self) -> dict[str, SourceConfig]:
        """`data`, `further_data` and `datasets`, or `pairs` or `posed_hands` alone, by the names
        that stages know them by."""
        if isinstance(self.network, JointVAEConfig):
            return {"posed_hands": self.posed}
        if self.pairs is not None:
            return {"pairs": self.pairs}
        further = {f"further_data.{k}": more for k, more in enumerate(self.further_data)}
        return {"data": self.data, **further, **self.datasets}

    def shares_of(self, stage: StageConfig | None) -> dict[str, float | None]:
        """Shares of every batch by the name of the source, see `Mixture`; none of 0.

        Args:
            stage: of the run; None for a run without stages.
        """
        if stage is not None and stage.sources is not None:
            shares = stage.sources
        else:
            shares = {name: source.share for name, source in self.sources.items()}
        return {name: share for name, share in shares.items() if share != 0}

    @property
    def learned_from(self) -> dict[str, SourceConfig]:
        """Those `sources` that some stage learns from, in the order of `sources`."""
        stages: list[StageConfig | None] = [*self.stages.values()]
        if not stages:
            stages = [None]
        used = {name for stage in stages for name in self.shares_of(stage)}
        return {name: source for name, source in self.sources.items() if name in used}

    @property
    def stored(self) -> dict[str, StoredConfig]:
        """Those of `learned_from` that lie on disk."""
        learned = self.learned_from.items()
        return {name: each for name, each in learned if not isinstance(each, PosedHandsConfig)}

    @property
    def held_out(self) -> tuple[HeldOutConfig | DatasetConfig, ...]:
        """What is validated on, besides the part of `pairs` that is held out."""
        return tuple(self.held_out_sets.values())

    @property
    def held_out_sets(self) -> dict[str, HeldOutConfig | DatasetConfig]:
        """The same by their names: `validation`, and those of `validation_datasets`."""
        if self.pairs is not None or isinstance(self.network, JointVAEConfig):
            return {}
        if self.validation_datasets and not self.validation.beside:
            return {**self.validation_datasets}
        return {"validation": self.validation, **self.validation_datasets}

    @model_validator(mode="after")
    def _holds_samples_out(self) -> Self:
        held_out, folders = self.validation, set()
        for name, samples in (
            ("data", self.data),
            *((f"further_data.{k}", more) for k, more in enumerate(self.further_data)),
        ):
            if _are_parts(samples, held_out):
                continue
            if samples.seed == held_out.seed:
                raise ValueError(
                    f"validation.seed to differ from {name}.seed, found {samples.seed} for both"
                )
            folder = Path(samples.folder).resolve()
            if folder == Path(held_out.folder).resolve():
                raise ValueError(
                    f"validation.folder to differ from {name}.folder, found "
                    f"{held_out.folder!r} for both"
                )
            if folder in folders:
                raise ValueError(f"a folder for each set, found {samples.folder!r} for two")
            folders.add(folder)
        return self

    @model_validator(mode="after")
    def _has_pairs_for_stereo(self) -> Self:
        is_stereo = isinstance(self.network, StereoConfig)
        if is_stereo != (self.pairs is not None):
            code = "training.no_pairs" if is_stereo else "training.pairs"
            raise mistake(code, network=self.network.kind)
        if self.pairs is not None:
            for option in ("further_data", "datasets", "validation_datasets"):
                if getattr(self, option):
                    raise mistake("training.unpaired", option=option)
        return self

    @model_validator(mode="after")
    def _supervises_autoencoders_alone(self) -> Self:
        if self.supervision is not None and not isinstance(self.network, AutoencoderConfig):
            raise mistake("training.supervision", network=self.network.kind)
        return self

    @model_validator(mode="after")
    def _poses_hands_for_joints_alone(self) -> Self:
        if self.posed_hands is not None and not isinstance(self.network, JointVAEConfig):
            raise mistake("training.posed_hands", network=self.network.kind)
        return self

    @property
    def posed(self) -> PosedHandsConfig:
        """`posed_hands` of a JointVAE, its defaults where nothing is given."""
        return self.posed_hands or PosedHandsConfig()

    @property
    def supervised(self) -> SupervisionConfig:
        """`supervision` of an autoencoder, its defaults where nothing is given."""
        return self.supervision or SupervisionConfig()

    @property
    def compares_sightings(self) -> bool:
        """Whether hands are compared with what the detector saw, and not with labels."""
        return (
            isinstance(self.network, AutoencoderConfig) and self.supervised.keypoints == "detected"
        )

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if self.stages and all(stage.sources is not None for stage in self.stages.values()):
            return self
        shares = [source.share for source in self.sources.values() if source.share != 0]
        if not shares:
            raise ValueError("a source of samples whose share is not 0, found none")
        problem = unshared(shares)
        if problem is not None:
            raise ValueError(f"{problem}, in `data`, `further_data` and `datasets`")
        return self

    @model_validator(mode="after")
    def _names_its_sources_apart(self) -> Self:
        taken = set(self.datasets) & {name for name in self.sources if name not in self.datasets}
        taken |= set(self.datasets) & {"data"}
        taken |= set(self.validation_datasets) & {"validation"}
        if taken:
            raise ValueError(f"another name for the data set {min(taken)!r}")
        return self

    @model_validator(mode="after")
    def _holds_pictures_out(self) -> Self:
        for name, source in self.datasets.items():
            for held_out, other in self.validation_datasets.items():
                if _pictures(source) == _pictures(other) and source.overlaps(other):
                    raise ValueError(
                        f"validation_datasets.{held_out} to be other pictures than datasets.{name}"
                    )
        return self


def _are_parts(one: SamplesConfig, other: SamplesConfig) -> bool:
    """Whether two are different parts of one rendered set."""
    same = ("folder", "seed", "count", "size", "supersampling", "settings")
    is_one = all(getattr(one, name) == getattr(other, name) for name in same)
    return is_one and not one.overlaps(other)


def unshared(shares: Sequence[float | None]) -> str | None:
    """What is wrong with shares of a batch, in words; None for nothing."""
    total = sum(share or 0 for share in shares)
    if total > 1 + 1e-9 or (None not in shares and total < 1 - 1e-9):
        return f"shares that add up to 1, found {total:g}"
    if None in shares and total > 1 - 1e-9:
        return "a share left for the sources that state none, found 0"
    return None


def _pictures(source: DatasetConfig) -> tuple[str, Path, str | None]:
    return source.dataset, Path(source.folder).resolve(), source.split


_LEARNED_FROM = ("further_data", "datasets")
"""Options that name what is learned from beside `data`."""

TRAIN = ConfigKind(TrainConfig, "train", "", "optimiser", "optimiser.steps=2000")
"""What `train-hands` reads."""


PICTURES = "photos"
"""Name, among `datasets`, of the folder of pictures that `--data` names."""


def load_train_config(
    path: str | Path,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Flag] | None = None,
    pictures: Path | None = None,
    needs_pictures: bool = True,
) -> TrainConfig:
    """Read the configuration of a training run.

    Args:
        path: YAML file, or the name of a preset in ``configs/train``.
        overrides: ``section.option=value`` each, applied in order; the value is a YAML scalar.
        flags: ``section.option`` -> what a flag says of it, applied before the overrides.
        pictures: folder of pictures that nobody has annotated, from which alone is learned: in
            place of all sources that the file names. Its place is kept, from wherever it is named.
        needs_pictures: False where nothing is learned, and the folder need not be there.

    Raises:
        InputError: the file cannot be read, a key is unknown or a value has the wrong type; or
            `pictures` is no folder.
    """
    if pictures is None:
        return load_kind(TRAIN, path, overrides, flags)
    from datasets.readers.images import require_pictures_folder  # not loaded for other runs

    if needs_pictures:
        require_pictures_folder(pictures)
    typed, source = f"--data {pictures}", f"datasets.{PICTURES}"
    learned = {
        "data.share": Flag(typed, 0),
        f"{source}.dataset": Flag(typed, "images"),
        f"{source}.folder": Flag(typed, str(pictures.resolve())),
    }
    return load_kind(TRAIN, path, overrides, {**(flags or {}), **learned}, _without_sources)


def _without_sources(values: dict[str, Any]) -> dict[str, Any]:
    """What a file says of all but what is learned from."""
    kept = {name: value for name, value in values.items() if name not in _LEARNED_FROM}
    stages = kept.get("stages")
    if isinstance(stages, dict):
        kept["stages"] = {
            name: {option: value for option, value in stage.items() if option != "sources"}
            if isinstance(stage, dict)
            else stage
            for name, stage in stages.items()
        }
    return kept
