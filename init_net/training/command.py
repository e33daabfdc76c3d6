"""The command `train-hands`: networks for the start of a fit.

Arguments are parsed before anything heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fitter.commands.parser import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    CommandParser,
    add_verbosity,
    path,
    run_command,
    text,
)

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from torch import nn

    from init_net.training.config import TrainConfig
    from init_net.training.ranks import Ranks

EXIT_DIVERGED = 1
"""A loss or a gradient was not finite; what was learned before is kept."""

_FOLDER = re.compile(
    r"((?:data|validation|pairs)\.backgrounds=(?!(?:procedural|packages|mixed)$)"
    r"|(?:network|data|validation)\.hand_model=(?!open_hand$)"
    r"|further_data="
    r"|(?:validation_)?datasets(?:\.\w+)?="
    r"|(?:validation_)?datasets\.\w+\.(?:folder|split|samples)="
    r"|run\.start=(?!shipped$)"
    r"|--data=).*",
    re.DOTALL,
)
"""A folder of the user's own images or data on the command line, or a hand model or weights of
his."""

_DESCRIPTION = """\
Train a network of the learned start: on rendered hands, which are rendered where they are missing,
on annotated data sets, and on what fit-hands has labelled. Batches are learned from, and the
average of the weights is validated and written as safetensors with a card.

CONFIG is a YAML file or the name of a preset in configs/train. DIR gets the run: checkpoints, a log
(metrics.jsonl, and TensorBoard's where it is installed) and the weights. A run that was stopped or
killed is continued by the same command, with the losses that it would have had. torchrun starts one
process for each of several GPUs.
"""

_EPILOG = """\
examples:
  train-hands --list                                      # what can be trained
  train-hands lifter                                      # into runs/lifter
  train-hands configs/train/lifter.yaml --out runs/mine --set optimiser.steps=5000
  train-hands handnet --smoke --device cpu                # does everything once, in two minutes
  train-hands s2hand --data photos/                       # from pictures that nobody has annotated
  train-hands handnet --prepare-only                      # renders the samples
  train-hands handnet --export handnet.safetensors        # weights of the last checkpoint
  torchrun --nproc-per-node 4 -m init_net.training handnet_published    # on four GPUs

exit status:
  0    the run is finished
  1    a loss or a gradient was not finite; the last good checkpoint is kept, and one line says
       where
  2    wrong usage or bad input, and one line says what; what was there is kept
  70   a fault of the program, with a traceback to report
  75   another process of the run has ended or is out of reach; the last checkpoint is kept
  130  interrupted; what is done is kept, and the same command continues
"""


def train_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `train-hands`."""
    parser = CommandParser("train-hands", _DESCRIPTION, _EPILOG)
    _add_options(parser)
    add_verbosity(parser)
    # What was typed stands in the card of the weights; where somebody's images lie does not.
    given = sys.argv[1:] if arguments is None else arguments
    parser.set_defaults(typed=shlex.join(["train-hands", *map(_public, given, ["", *given])]))
    run_command(parser, arguments, _train_hands)


def _add_options(parser: CommandParser) -> None:
    parser.add_argument(
        "config",
        nargs="?",
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
    parser.add_argument(
        "--data",
        type=path,
        metavar="DIR",
        help="learn from a folder of pictures that nobody has annotated, and from nothing else; "
        "for networks that need no more, such as s2hand",
    )
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
    instead.add_argument(
        "--list", action="store_true", help="name the presets, one line each, and do no more"
    )


def _public(word: str, before: str) -> str:
    """A word of the command line without a folder of the user's; `before` stands in front of it."""
    return "FOLDER" if before == "--data" else _FOLDER.sub(r"\1FOLDER", word)


@dataclass(frozen=True)
class _Request:
    """A run that is wanted."""

    config: TrainConfig
    network: nn.Module
    out: Path
    command: str
    overwrite: bool
    console: Console
    ranks: Ranks


def _require_own_datasets() -> None:
    """Refuse to run with another package's `datasets`, whose name ours shares."""
    import datasets
    from fitter.errors import InputError

    if getattr(datasets, "OWNER", None) != "fit-hands":
        raise InputError("usage.other_datasets", file=datasets.__file__)


def _train_hands(options: argparse.Namespace) -> int:
    _require_own_datasets()
    from fitter.errors import InputError, UserError
    from init_net.training.torchrun import is_started_by_torchrun

    if options.list:
        return _list()
    if options.config is None:
        raise InputError("training.no_config", file="CONFIG")
    if not is_started_by_torchrun():
        _configuration(options)  # a mistake in it is told before PyTorch is imported
    from init_net.training.ranks import RankLostError, Ranks

    ranks = Ranks.of_environment()
    # The first rank speaks for all, unless it is the one that is gone.
    options.quiet = options.quiet or not ranks.is_first
    try:
        return _run(options, ranks)
    except RankLostError:
        raise
    except UserError as error:
        ranks.tell(error)
        if ranks.is_first:
            raise
        return EXIT_USAGE
    except KeyboardInterrupt:
        if ranks.is_first:
            raise
        return EXIT_INTERRUPTED


def _list() -> int:
    """Name the presets."""
    from fitter.config.files import described_presets
    from init_net.training.config import TRAIN

    presets = described_presets(TRAIN)
    width = max(map(len, presets))
    for name, about in presets.items():
        print(f"{name:{width}}  {about}")
    return EXIT_OK


def _configuration(options: argparse.Namespace) -> TrainConfig:
    """The configuration that is asked for, whose stages name parts that there are."""
    from fitter.config.files import Flag
    from init_net.training.config import load_train_config
    from init_net.training.stage_names import require_names

    flags = {}
    if options.device is not None:
        flags["run.device"] = Flag(f"--device {options.device}", options.device)
    is_learned = options.export is None
    config = load_train_config(options.config, options.set, flags, options.data, is_learned)
    if options.data is not None and is_learned:
        from init_net.training.learnable import require_pictures_enough  # and with it PyTorch

        require_pictures_enough(config, options.data)
    parts = getattr(config.network, "part_names", None)
    if parts is not None:  # else the network itself is asked, see `require_parts`
        require_names(config, parts)
    return config


def _run(options: argparse.Namespace, ranks: Ranks) -> int:
    """What is asked for of a configuration."""
    from fitter.device import choose_device
    from fitter.run.progress import console_for, say
    from init_net.networks.build import build_network
    from init_net.training.checkpoints import find_checkpoint
    from init_net.training.export import export
    from init_net.training.preparing import prepare_all
    from init_net.training.sources import folder_of
    from init_net.training.start import begun

    console = console_for(options.quiet)
    config, out = _asked(options, console)
    if options.export is not None:
        export(out, config, options.export, console)
        return EXIT_OK
    ranks.require_even(config.optimiser.batch_size)
    overwrite = _checked(options, config, out, console)
    if options.prepare_only:  # which needs no weights to begin with, and no device
        if ranks.is_first:
            prepare_all(config, console)
        sets = (*config.stored.values(), *config.held_out)
        where = " and ".join(str(folder_of(samples)) for samples in sets)
        say(console, f"samples are in {where or 'no folder: hands are posed as it learns'}")
        return EXIT_OK
    if overwrite or find_checkpoint(out) is None:
        network = begun(config)
    else:  # which holds all weights
        network = build_network(config.network, config.run.seed)
    device = ranks.device(choose_device(config.run.device))  # before anything is rendered
    if ranks.is_first:
        prepare_all(config, console)
    request = _Request(config, network, out, options.typed, overwrite, console, ranks)
    with ranks.joined(device):
        status = _train(request, device)
    if options.smoke and ranks.is_first and status == EXIT_OK:
        say(console, "a smoke test learns nothing: its figures mean nothing")
    return status


def _asked(options: argparse.Namespace, console: Console) -> tuple[TrainConfig, Path]:
    """The configuration that is asked for, in miniature for a smoke test, and the run's folder."""
    from fitter.config.files import find_preset
    from fitter.device import choose_device
    from fitter.run.progress import say
    from init_net.training.config import TRAIN
    from init_net.training.smoke import missing_sources, missing_start, smoke

    config = _configuration(options)
    name = find_preset(options.config, TRAIN).stem
    if options.smoke:
        # A preset for a GPU has a smoke test on any machine.
        has_gpu = choose_device(options.device or "auto").type == "cuda"
        missing, start = missing_sources(config), missing_start(config)
        config, name = smoke(config, has_gpu), f"{name}-smoke"
        if missing:
            say(console, f"renders stand for what is not here: {', '.join(missing)}")
        if start is not None:
            say(console, f"random weights stand for what is not here: {start}")
    return config, options.out or Path("runs") / name


def _checked(options: argparse.Namespace, config: TrainConfig, out: Path, console: Console) -> bool:
    """Refuse what cannot be learned, before anything is rendered, and tell what is done without;
    whether the run in the folder is to be replaced."""
    from fitter.run.progress import say
    from init_net.hand_model_id import require_source
    from init_net.training.freezing import require_learned
    from init_net.training.learnable import without_confidence
    from init_net.training.run_folder import check_run, holds_smoke
    from init_net.training.sources import require_renderable
    from init_net.training.tasks import require_trainable

    overwrite: bool = options.overwrite
    require_source(config.network)
    if not (options.prepare_only or overwrite):
        # A smoke test is done again, and with other options as well.
        overwrite = options.smoke and holds_smoke(out)
        if not overwrite:
            check_run(out, config)
    if not options.smoke:  # which learns nothing, whatever it begins with
        require_learned(config)
    for source, lost in require_trainable(config).items():
        say(console, f"{source}: has no {lost}: losses on the others are learned from")
    for source in without_confidence(config):
        say(console, f"{source}: has no confidence of its keypoints: all of them count alike")
    require_renderable(config)
    return overwrite


def _train(request: _Request, device: torch.device) -> int:
    import torch

    from fitter.run.progress import say
    from fitter.system.messages import one_line
    from fitter.system.stopping import StopRequest
    from init_net.training.export import export
    from init_net.training.loop import DivergedError, Watch, train
    from init_net.training.progress_line import ProgressLine
    from init_net.training.run_folder import WEIGHTS, claimed
    from init_net.training.tasks import build_task

    config, console, ranks = request.config, request.console, request.ranks
    if config.run.threads:
        torch.set_num_threads(config.run.threads)

    def stopping() -> None:
        say(console, "stopping when this step is written; press Ctrl-C again to stop at once")

    folder = claimed(request.out, config, request.command, request.overwrite)
    with folder if ranks.is_first else nullcontext():
        # Samples and folder are there before another rank looks for them.
        ranks.wait()
        task = build_task(config, device, request.network)
        try:
            with StopRequest(stopping) as stop, ProgressLine(console, task.plan) as line:
                watch = Watch(lambda: stop.asked, line.step, line.validated, line.entered)
                result = train(task, config, request.out, watch, ranks)
        except DivergedError as error:
            if ranks.is_first:
                print(f"train-hands: {one_line(str(error))}", file=sys.stderr)
            return EXIT_DIVERGED
        if ranks.is_first and not result.was_stopped:
            export(request.out, config, request.out / WEIGHTS, console)
        # torchrun ends the others when one has ended: not before all is written.
        ranks.wait()
        if result.was_stopped:
            raise KeyboardInterrupt
    return EXIT_OK
