"""The command `train-hands`: networks for the start of a fit.

Arguments are parsed before anything heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitter.commands.parser import (
    EXIT_OK,
    CommandParser,
    add_verbosity,
    path,
    run_command,
    text,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from init_net.training.config import SourceConfig, TrainConfig
    from init_net.training.plan import Plan, Stage

EXIT_DIVERGED = 1
"""A loss or a gradient was not finite; what was learned before is kept."""

_FOLDER = re.compile(
    r"((?:data|validation)\.backgrounds=)(?!(?:procedural|packages)$).*"
    r"|((?:validation_)?datasets\.\w+\.(?:folder|split|samples)=|run\.start=(?!shipped$)).*",
    re.DOTALL,
)
"""A folder of the user's own images or data on the command line, or weights of his."""

_DESCRIPTION = """\
Train a network of the learned start: on rendered hands, which are rendered where they are missing,
on annotated data sets, and on what fit-hands has labelled. Batches are learned from, and the
average of the weights is validated and written as safetensors with a card.

CONFIG is a YAML file or the name of a preset in configs/train. DIR gets the run: checkpoints, a log
(metrics.jsonl, and TensorBoard's where it is installed) and the weights. A run that was stopped or
killed is continued by the same command, with the losses that it would have had.
"""

_EPILOG = """\
examples:
  train-hands lifter                                      # into runs/lifter
  train-hands configs/train/lifter.yaml --out runs/mine --set optimiser.steps=5000
  train-hands handnet --smoke --device cpu                # does everything once, in two minutes
  train-hands handnet --prepare-only                      # renders the samples
  train-hands handnet --export handnet.safetensors        # weights of the last checkpoint

exit status:
  0    the run is finished
  1    a loss or a gradient was not finite; the last good checkpoint is kept, and one line says
       where
  2    wrong usage or bad input, and one line says what; what was there is kept
  70   a fault of the program, with a traceback to report
  130  interrupted; what is done is kept, and the same command continues
"""


def train_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `train-hands`."""
    parser = CommandParser("train-hands", _DESCRIPTION, _EPILOG)
    parser.add_argument(
        "config",
        type=text,
        metavar="CONFIG",
        help="configuration file, or the name of a preset in configs/train",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one option of the configuration, such as optimiser.steps=2000; repeatable",
    )
    parser.add_argument(
        "--out", type=path, metavar="DIR", help="folder of the run (default: runs/NAME)"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in DIR, as is done without it: a run of another configuration is "
        "refused",
    )
    existing.add_argument("--overwrite", action="store_true", help="replace the run in DIR")
    parser.add_argument("--device", type=text, metavar="NAME", help="cpu, cuda or auto (default)")
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="everything in miniature, into folders of its own (-smoke behind their names)",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--prepare-only",
        action="store_true",
        help="render and look at the samples that are missing, no more",
    )
    instead.add_argument(
        "--export",
        type=path,
        metavar="FILE",
        help="write the averaged weights of the last checkpoint as safetensors, with a card, and "
        "train no further",
    )
    add_verbosity(parser)
    # What was typed stands in the card of the weights; where somebody's images lie does not.
    given = sys.argv[1:] if arguments is None else arguments
    typed = [_FOLDER.sub(r"\1\2FOLDER", word) for word in given]
    parser.set_defaults(typed=shlex.join(["train-hands", *typed]))
    run_command(parser, arguments, _train_hands)


@dataclass(frozen=True)
class _Request:
    """A run that is wanted."""

    config: TrainConfig
    out: Path
    command: str
    overwrite: bool
    console: Console


def _require_own_datasets() -> None:
    """Refuse to run with another package's `datasets`, whose name ours shares."""
    import datasets
    from fitter.errors import InputError

    if getattr(datasets, "OWNER", None) != "fit-hands":
        raise InputError("usage.other_datasets", file=datasets.__file__)


def _train_hands(options: argparse.Namespace) -> int:
    _require_own_datasets()
    from rich.console import Console

    from fitter.config.files import Flag, find_preset
    from fitter.run.progress import say
    from init_net.training.config import TRAIN, load_train_config
    from init_net.training.run_folder import check_run
    from init_net.training.smoke import smoke
    from init_net.training.sources import folder_of, looks_at
    from init_net.training.tasks import require_trainable

    flags = {}
    if options.device is not None:
        flags["run.device"] = Flag(f"--device {options.device}", options.device)
    config = load_train_config(options.config, options.set, flags)
    name = find_preset(options.config, TRAIN).stem
    if options.smoke:
        config, name = smoke(config), f"{name}-smoke"
    out = options.out or Path("runs") / name
    console = Console(stderr=True, quiet=options.quiet)
    if options.export is not None:
        _export(out, config, options.export, console)
        return EXIT_OK
    overwrite = options.overwrite
    if not (options.prepare_only or overwrite):
        # Before anything is rendered. A smoke test that has been done is done again.
        overwrite = check_run(out, config) and options.smoke
    for source, lost in require_trainable(config).items():
        say(console, f"{source}: has no {lost}: losses on the others are learned from")
    sets = (*config.learned_from.values(), *config.held_out)
    for samples in sets:
        _prepare(samples, looks_at(config, samples), console)
    if options.prepare_only:
        say(console, f"samples are in {' and '.join(str(folder_of(samples)) for samples in sets)}")
        return EXIT_OK
    return _train(_Request(config, out, options.typed, overwrite, console))


def _prepare(source: SourceConfig, looks: int, console: Console) -> None:
    """Make what is missing of a source of samples, and look at what nobody has looked at."""
    from rich.progress import Progress

    from fitter.run.progress import say
    from init_net.samples.shards import LEFT_OUT
    from init_net.training.sources import folder_of, look_at, prepare, sample_count

    hidden = console.quiet or not console.is_terminal
    folder, total = folder_of(source), sample_count(source)
    with Progress(console=console, disable=hidden) as progress:
        task = progress.add_task(f"making samples in {folder}", total=total)
        problems = prepare(source, lambda count: progress.advance(task, count))
        look = progress.add_task(f"looking at {folder}", total=total)
        look_at(source, looks, lambda count: progress.advance(look, count))
    if problems:
        say(
            console,
            f"{folder}: {len(problems)} of {total} hands cannot be learned from, the first because "
            f"{problems[0]}; {folder}/shard-*/{LEFT_OUT} name all",
        )


def _train(request: _Request) -> int:
    import torch

    from fitter.device import choose_device
    from fitter.run.progress import say
    from fitter.system.messages import one_line
    from fitter.system.stopping import StopRequest
    from init_net.training.loop import DivergedError, Watch, train
    from init_net.training.run_folder import WEIGHTS, claimed
    from init_net.training.tasks import build_task

    config, console = request.config, request.console
    device = choose_device(config.run.device)
    if config.run.threads:
        torch.set_num_threads(config.run.threads)

    def stopping() -> None:
        say(console, "stopping when this step is written; press Ctrl-C again to stop at once")

    with claimed(request.out, config, request.command, request.overwrite):
        task = build_task(config, device)
        try:
            with StopRequest(stopping) as stop, _Line(console, task.plan) as line:
                watch = Watch(lambda: stop.asked, line.step, line.validated, line.entered)
                result = train(task, config, request.out, watch)
        except DivergedError as error:
            print(f"train-hands: {one_line(str(error))}", file=sys.stderr)
            return EXIT_DIVERGED
        if result.was_stopped:
            raise KeyboardInterrupt
        _export(request.out, config, request.out / WEIGHTS, console)
    return EXIT_OK


class _Line:
    """Steps done, loss and remaining time on a terminal; validations anywhere."""

    def __init__(self, console: Console, plan: Plan) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._console = console
        self._progress = Progress(
            TextColumn("training {task.fields[stage]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps, loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=console.quiet or not console.is_terminal,
            speed_estimate_period=300,
        )
        self._plan, self._stage = plan, ""
        self._task: TaskID | None = None

    def step(self, done: int, loss: float) -> None:
        """Bring the line up to date."""
        if self._task is None:  # so that the rate is that of this part of the run
            self._task = self._progress.add_task(
                "", total=self._plan.steps, completed=done - 1, loss="", stage=""
            )
        self._progress.update(self._task, completed=done, loss=f"{loss:.4g}", stage=self._stage)

    def entered(self, stage: Stage) -> None:
        """Print a line about a stage that begins or goes on."""
        from fitter.run.progress import say

        if not self._plan.is_staged:
            return
        self._stage = stage.name
        count = len(self._plan.stages)
        say(
            self._console,
            f"stage {stage.name} ({stage.number + 1} of {count}): up to step {stage.end} of "
            f"{self._plan.steps}",
        )

    def validated(self, done: int, figures: Mapping[str, float]) -> None:
        """Print a line above the progress."""
        from fitter.run.progress import say

        shown = ", ".join(f"{name} {value:.5g}" for name, value in figures.items())
        say(self._console, f"step {done}: {shown}")

    def __enter__(self) -> _Line:
        self._progress.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._progress.__exit__(*details)


def _export(out: Path, config: TrainConfig, file: Path, console: Console) -> None:
    """Write the averaged weights of a run's last checkpoint."""
    from fitter.errors import InputError
    from fitter.run.progress import say
    from init_net.hand_model_id import require_fitting
    from init_net.model_card import WeightsInfo
    from init_net.networks.build import build_network
    from init_net.training.checkpoints import find_checkpoint, load_checkpoint, require_same_run
    from init_net.training.loss_weights import loss_weights
    from init_net.training.run_folder import check_run, read_manifest
    from init_net.weights import save_weights

    if file.suffix != ".safetensors":
        raise InputError("training.export_name", file=f"--export {file}")
    checkpoint = find_checkpoint(out) if check_run(out, config) else None
    if checkpoint is None:
        raise InputError("training.nothing_to_export", file=out)
    found = load_checkpoint(checkpoint)
    require_same_run(checkpoint, found.config, config)
    network = build_network(config.network, config.run.seed)
    require_fitting(checkpoint, network, found.average)
    network.load_state_dict(found.average)
    info = WeightsInfo(
        network=config.network,
        command=read_manifest(out)["command"],
        steps=found.step,
        data={
            f"{what} {k}" if k > 1 else what: _public(source)
            for what, sources in (
                ("training", config.learned_from.values()),
                ("validation", config.held_out),
            )
            for k, source in enumerate(sources, 1)
        },
        figures=found.figures,
        hand_model=found.hand_model,
        options={
            # The steps of a run with stages are those of its stages.
            "optimiser": config.optimiser.model_dump(
                mode="json", exclude={"steps"} if config.stages else None
            ),
            **({"stages": _public_stages(config)} if config.stages else {}),
            "losses": loss_weights(config),
            "augmentation": config.augmentation.model_dump(mode="json"),
            # Of the training: whoever exports may have another device.
            "run": _public_run(found.config["run"]),
        },
        figures_step=found.validated or None,
    )
    save_weights(file, network.eval(), info)
    megabytes = file.stat().st_size / 1e6
    measured = f"figures of step {found.validated}" if found.validated else "not validated yet"
    say(
        console,
        f"weights after {found.step} of {found.planned or config.optimiser.steps} steps, "
        f"{measured}: {file}, {megabytes:.2f} MB, and its card",
    )


def _public(source: SourceConfig) -> dict[str, object]:
    """Options of a source, without where somebody's files lie."""
    from init_net.samples.config import SamplesConfig

    hidden = {"folder", "workers", "samples", "split"}
    options = source.model_dump(mode="json", exclude=hidden, exclude_none=True)
    if isinstance(source, SamplesConfig) and source.backgrounds not in (
        "procedural",
        "packages",
        "mixed",
    ):
        options["backgrounds"] = "a folder"
    return options


def _public_stages(config: TrainConfig) -> dict[str, Any]:
    """Options of stages by name, those that they state themselves."""
    return {
        name: stage.model_dump(mode="json", exclude_none=True)
        for name, stage in config.stages.items()
    }


def _public_run(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a run; of the weights that it began with only the file's name."""
    start = options.get("start")
    return {**options, "start": None if start is None else Path(start).name}
