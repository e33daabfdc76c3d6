"""The configuration of a training run: every option, typed, frozen, with its unit.

It is read as that of `fit-hands` is (`fitter.config.files`): from a YAML file, or a preset in
``configs/train``, and from single overrides on top. Only `network` has no default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fitter.config.files import ConfigKind, Flag, load_kind
from fitter.config.section import Section
from init_net.networks.config import NetworkConfig
from init_net.samples.config import (
    AugmentationConfig,
    DatasetConfig,
    HeldOutConfig,
    SamplesConfig,
)


class OptimiserConfig(Section):
    """AdamW, its learning rate, and the average of the weights that is shipped.

    Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019; the cosine is that of
    their "SGDR", ICLR 2017, eq. 5, without restarts.
    """

    steps: int = Field(20_000, ge=1, description="batches learned from")
    batch_size: int = Field(64, ge=1, description="samples of a batch")
    learning_rate: float = Field(1e-3, gt=0, description="at the end of the warm-up")
    warmup_steps: int = Field(500, ge=0, description="over which the rate rises linearly from 0")
    final_fraction: float = Field(
        0.01, ge=0, le=1, description="of the rate that the cosine ends at"
    )
    weight_decay: float = Field(
        0.01, ge=0, description="of matrices and filters; biases and normalisation have none"
    )
    clip_norm: float | None = Field(
        1.0, gt=0, description="longest gradient of all weights together; null for any"
    )
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="of the exponential moving average of the weights, which is validated and "
        "exported",
    )


class TrainRunConfig(Section):
    """How and where the work is done."""

    seed: int = Field(0, ge=0, description="of the first weights, the batches and the augmentation")
    start: str | None = Field(
        None,
        min_length=1,
        description="weights that the network begins with: a file of safetensors, or shipped; null "
        "for random ones",
    )
    threads: int = Field(
        0, ge=0, description="that PyTorch computes on, 0 for its own choice; shows in last digits"
    )
    loaders: int = Field(
        1, ge=0, description="threads that prepare batches ahead, 0 for none; changes no result"
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        "auto", description="where the network is; auto takes a GPU where there is one"
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the products in the network; weights stay in float32"
    )
    log_every: int = Field(50, ge=1, description="steps whose mean losses make a line of the log")
    validate_every: int = Field(1_000, ge=1, description="steps between validations")
    checkpoint_minutes: float = Field(
        5.0, ge=0, description="between checkpoints; 0 for one after every step"
    )


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
    validation: HeldOutConfig = Field(default_factory=HeldOutConfig)
    validation_datasets: dict[str, DatasetConfig] = Field(
        default_factory=dict,
        description="annotated pictures that are validated on instead of `validation`, by names",
    )
    optimiser: OptimiserConfig = Field(default_factory=OptimiserConfig)
    losses: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="weights of the loss terms by name; those not given keep the task's own",
    )
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    run: TrainRunConfig = Field(default_factory=TrainRunConfig)

    def resolved(self) -> dict[str, Any]:
        """Every option with its value, as nested JSON-able dictionaries."""
        return self.model_dump(mode="json")

    @property
    def learned_from(self) -> tuple[SamplesConfig | DatasetConfig, ...]:
        """`data`, `further_data` and `datasets` but those of share 0, in this order."""
        every: tuple[SamplesConfig | DatasetConfig, ...] = (
            self.data,
            *self.further_data,
            *self.datasets.values(),
        )
        return tuple(source for source in every if source.share != 0)

    @property
    def held_out(self) -> tuple[HeldOutConfig | DatasetConfig, ...]:
        """What is validated on."""
        return tuple(self.validation_datasets.values()) or (self.validation,)

    @model_validator(mode="after")
    def _holds_samples_out(self) -> Self:
        held_out, folders = self.validation, set()
        for name, samples in (
            ("data", self.data),
            *((f"further_data.{k}", more) for k, more in enumerate(self.further_data)),
        ):
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
    def _shares_add_up(self) -> Self:
        shares = [source.share for source in self.learned_from]
        total = sum(share or 0 for share in shares)
        if not shares:
            raise ValueError("a source of samples whose share is not 0, found none")
        if total > 1 + 1e-9 or (None not in shares and total < 1 - 1e-9):
            raise ValueError(
                f"shares of `data`, `further_data` and `datasets` that add up to 1, found {total:g}"
            )
        if None in shares and total > 1 - 1e-9:
            raise ValueError("a share left for the sources that state none, found 0")
        return self

    @model_validator(mode="after")
    def _holds_pictures_out(self) -> Self:
        for name, source in self.datasets.items():
            for held_out, other in self.validation_datasets.items():
                if _pictures(source) == _pictures(other):
                    raise ValueError(
                        f"validation_datasets.{held_out} to be other pictures than datasets.{name}"
                    )
        return self


def _pictures(source: DatasetConfig) -> tuple[str, Path, str | None]:
    return source.dataset, Path(source.folder).resolve(), source.split


TRAIN = ConfigKind(TrainConfig, "train", "", "optimiser", "optimiser.steps=2000")
"""What `train-hands` reads."""

UNBOUND: frozenset[str] = frozenset(
    {
        "data.folder",
        "data.workers",
        "validation.folder",
        "validation.workers",
        "run.loaders",
        "run.device",
        "run.checkpoint_minutes",
    }
)
"""Options that may change between the parts of one run: where and how fast, not what."""

_UNBOUND_OF_DATASETS = ("samples", "workers")
"""The same of each data set."""

LIKE_EARLIER: Mapping[str, Any] = {
    "data.share": None,
    "validation.share": None,
    "run.start": None,
    "augmentation.keypoint_dropout": 0.0,
    "augmentation.all_keypoints_dropout": 0.0,
    "network.margin": 1.4,
    "further_data": [],
    "data.sightings": 2,
    "validation.sightings": 1,
    **{
        f"{samples}.{share}_share": 0.0
        for samples in ("data", "validation")
        for share in ("glove", "child", "grey", "varied_object")
    },
}
"""Options that earlier versions had and this one has not, or the other way round, and the value
with which a run is the same with and without them."""


def load_train_config(
    path: str | Path, overrides: Sequence[str] = (), flags: Mapping[str, Flag] | None = None
) -> TrainConfig:
    """Read the configuration of a training run.

    Args:
        path: YAML file, or the name of a preset in ``configs/train``.
        overrides: ``section.option=value`` each, applied in order; the value is a YAML scalar.
        flags: ``section.option`` -> what a flag says of it, applied before the overrides.

    Raises:
        InputError: the file cannot be read, a key is unknown or a value has the wrong type.
    """
    return load_kind(TRAIN, path, overrides, flags)


def first_difference(
    wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> tuple[str, Any, Any] | None:
    """The first option in which two resolved configurations are not one run's.

    Args:
        wanted, found: of `TrainConfig.resolved`.

    Returns:
        Name, value in `wanted` and value in `found` (None where it is missing); None if there is no
        such option. Options of `UNBOUND` do not count, nor do those of `LIKE_EARLIER` that
        changed nothing.
    """
    mine, others = (
        {name: value for name, value in _flat(values) if (name, value) not in LIKE_EARLIER.items()}
        for values in (wanted, found)
    )
    for name in [*mine, *(name for name in others if name not in mine)]:
        if not _is_unbound(name) and mine.get(name) != others.get(name):
            return name, mine.get(name), others.get(name)
    return None


def _is_unbound(name: str) -> bool:
    section, _, option = name.rpartition(".")
    of_dataset = section.startswith(("datasets.", "validation_datasets."))
    return name in UNBOUND or (of_dataset and option in _UNBOUND_OF_DATASETS)


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{before}{key}"
        options += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return options


def smoke(config: TrainConfig) -> TrainConfig:
    """The same run in miniature: everything is done once, nothing is learned.

    Samples go into folders of their own (``-smoke`` behind the name).
    """

    def few(samples: SamplesConfig, count: int) -> SamplesConfig:
        return samples.model_copy(
            update={
                "folder": f"{samples.folder.rstrip('/')}-smoke",
                "count": min(samples.count, count),
                "size": min(samples.size, 112),
                "supersampling": 1,
            }
        )

    def fewer(source: DatasetConfig) -> DatasetConfig:
        return source.model_copy(
            update={
                "samples": f"{source.samples_folder}-smoke",
                "count": min(source.count or 32, 32),
                "size": min(source.size, 112),
            }
        )

    optimiser, network = config.optimiser, config.network
    steps = min(optimiser.steps, 24)
    if hasattr(network, "input_size"):
        network = network.model_copy(update={"input_size": min(network.input_size, 64)})
    return config.model_copy(
        update={
            "network": network,
            "data": few(config.data, 192),
            "further_data": tuple(few(samples, 192) for samples in config.further_data),
            **{
                option: {name: fewer(source) for name, source in getattr(config, option).items()}
                for option in ("datasets", "validation_datasets")
            },
            "validation": few(config.validation, 64),
            "optimiser": optimiser.model_copy(
                update={
                    "steps": steps,
                    "batch_size": min(optimiser.batch_size, 4),
                    "warmup_steps": min(optimiser.warmup_steps, steps // 4),
                }
            ),
            "run": config.run.model_copy(
                update={"log_every": 4, "validate_every": steps, "checkpoint_minutes": 5.0}
            ),
        }
    )
