"""`eval-hands`: arguments in, figures, tables and plots out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.evaluation.options import (
    EvaluationOptions,
    check_penalty,
    check_ranges,
    check_table,
    parse_range,
)
from datasets.evaluation.published import PUBLISHED
from fitter.commands.parser import (
    EXIT_OK,
    CommandParser,
    add_verbosity,
    number,
    path,
    run_command,
    text,
    whole_number,
)
from fitter.errors import InputError
from fitter.inputs.addresses import is_address
from fitter.inputs.datasets import dataset_names

if TYPE_CHECKING:
    from datasets.annotations import AnnotatedImages
    from datasets.evaluation import Evaluation, FreiHandEvaluation

_EVAL_DESCRIPTION = """\
Compare result stores, or any tool's predictions, with a data set's annotations.

Prints errors of keypoints in mm, in the camera and aligned, AUC over 0 to 50 mm, the 2D error in
pixels, errors of vertices, meshes and masks where there are some, and how many hands were found.
Images are matched by name. docs/evaluation.md says how hands of an image are matched.
"""


_EVAL_EPILOG = """\
examples:
  eval-hands results.zarr --dataset freihand FreiHAND_pub_v2_eval/
  eval-hands results.zarr
                             # made with fit-hands --dataset: the store knows its data set
  eval-hands --predictions pred.json --dataset freihand FreiHAND/ --protocol freihand
  eval-hands a.zarr b.zarr --dataset ho3d HO3D_v3/ --table s2hand3 --format latex --plots plots/
  eval-hands results.zarr --dataset freihand FreiHAND/ --range 0:75 --json figures.json

exit status:
  0    the figures were computed
  2    wrong usage or bad input, and one line says what
  70   a fault of the program, with a traceback to report
  130  interrupted
"""

_WIDEST = 10_000
"""Columns of text that no table reaches."""
FORMAT_NAMES = ("markdown", "latex", "csv", "json")


def eval_hands(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `eval-hands`."""
    parser = CommandParser("eval-hands", _EVAL_DESCRIPTION, _EVAL_EPILOG)
    parser.add_argument(
        "store", type=path, nargs="*", metavar="STORE.zarr", help="written by fit-hands"
    )
    parser.add_argument(
        "--predictions",
        type=path,
        action="append",
        default=[],
        metavar="FILE",
        help="JSON of any tool: [xyz, verts] as FreiHAND takes it, or hands by image; repeatable",
    )
    parser.add_argument(
        "--dataset",
        nargs=2,
        metavar=("NAME", "DIR"),
        help=f"annotations to compare with: NAME is one of {', '.join(dataset_names())}; by "
        "default the data set that the store was made of",
    )
    parser.add_argument("--split", type=text, metavar="NAME", help="of the data set")
    _add_measures(parser)
    _add_outputs(parser)
    add_verbosity(parser)
    run_command(parser, arguments, _eval_hands)


def _add_measures(parser: argparse.ArgumentParser) -> None:
    """Options about what is measured."""
    parser.add_argument(
        "--protocol",
        choices=("freihand",),
        help="print what the data set's own evaluation prints",
    )
    parser.add_argument(
        "--match",
        choices=("best", "place"),
        help="pair hands of an image by the best score (default for freihand, which annotates one "
        "hand an image), or by side and place in the image (default elsewhere)",
    )
    parser.add_argument(
        "--missing-as", type=number, metavar="MM", help="charge a hand not found with this error"
    )
    parser.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="A:B",
        help="report images A to B - 1 of the data set apart as well; repeatable",
    )
    parser.add_argument(
        "--keypoint-definition",
        type=text,
        metavar="NAME",
        help="score keypoints in this definition, posed from the stored parameters where the store "
        "has another: mediapipe, mano, openpose, freihand (what FreiHAND annotates) or ho3d",
    )
    parser.add_argument(
        "--mano",
        type=path,
        metavar="FILE",
        help="your MANO file: poses annotated MANO parameters, gives predicted vertices faces",
    )
    parser.add_argument(
        "--model",
        type=path,
        metavar="DIR",
        help="the folder of the NIMBLE model that the data set's hands were rendered with: poses "
        "their parameters, so that vertices are compared",
    )
    parser.add_argument(
        "--bootstrap",
        type=whole_number,
        default=0,
        metavar="N",
        help="95 %% confidence intervals by N resamples of the images",
    )
    parser.add_argument(
        "--seed", type=whole_number, metavar="N", help="of the bootstrap; default 0"
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    """Options about what is written."""
    parser.add_argument("--json", type=path, metavar="FILE", help="write the figures here as well")
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="NAME",
        help="print a paper's table with a row for each source in place of the figures: "
        f"{', '.join(PUBLISHED)}; repeatable",
    )
    parser.add_argument("--format", choices=FORMAT_NAMES, help="of --table; default markdown")
    parser.add_argument(
        "--label",
        type=text,
        action="append",
        default=[],
        metavar="TEXT",
        help="what a source is called in tables and plots, in the order of stores, then "
        "predictions; default its file name",
    )
    parser.add_argument(
        "--plots",
        type=path,
        metavar="DIR",
        help="write plots here: curves of correct keypoints and vertices, error by joint, IoU by "
        "iteration (of several stores, one for each budget)",
    )


def _eval_hands(options: argparse.Namespace) -> int:
    evaluate_command(options)
    return EXIT_OK


def evaluate_command(options: argparse.Namespace) -> None:
    """What `eval-hands` does: print figures or tables, and write what is asked for.

    Arguments, data set and sources are checked before anything heavy is imported.

    Args:
        options: as parsed from the command line.

    Raises:
        InputError: an option, the data set or a source is bad; a file cannot be written.
    """
    wanted = _checked(options)
    sources = [*options.store, *options.predictions]
    labels = options.label or [None] * len(sources)
    given = None if options.dataset is None else _opened(options.dataset, options.split)
    for source in options.store:
        from fitter.store.files import require_store

        require_store(source)
    truths = [given or _stored(source, options.split) for source in sources]
    for truth in truths:
        check_ranges(wanted.ranges, truth.root, len(truth))
    if options.protocol is not None:
        _protocol(options, list(zip(sources, truths, labels, strict=True)))
        return

    from datasets.evaluation import evaluate, open_estimates
    from fitter.run.progress import ProgressLine, console_for

    found, console = [], console_for(options.quiet)
    for source, truth, label in zip(sources, truths, labels, strict=True):
        estimates = open_estimates(source, truth, wanted.definition, wanted.mano)
        with ProgressLine(console, "scoring", len(truth)) as line:
            found.append(evaluate(estimates, truth, wanted, label, line.show))
    _write_json(options, found)
    if options.plots is not None:
        from datasets.evaluation import write_plots

        write_plots(found, options.plots)
    if not options.quiet:
        _print(options, found)


def _checked(options: argparse.Namespace) -> EvaluationOptions:
    """The options, those that can be checked without looking at the sources checked."""
    _check_used(options)
    ranges = [parse_range(text) for text in options.range]
    check_penalty(options.missing_as)
    if options.bootstrap < 0:
        raise InputError("evaluation.bootstrap", file="--bootstrap", found=options.bootstrap)
    if not options.store and not options.predictions:
        raise InputError("evaluation.no_source", file="eval-hands")
    if options.predictions and options.dataset is None:
        raise InputError("evaluation.predictions_dataset", file=options.predictions[0])
    if options.mano is not None and not options.mano.is_file():
        raise InputError("model.missing", file=options.mano, expected="a MANO file")
    if options.model is not None and not options.model.is_dir():
        raise InputError("synthetic.model", file=options.model)
    count = len(options.store) + len(options.predictions)
    if len(options.label) not in (0, count):
        raise InputError(
            "evaluation.labels", file="--label", found=len(options.label), expected=count
        )
    if options.keypoint_definition is not None:
        from datasets.evaluation.posed import check_definition

        check_definition(options.keypoint_definition)
    for name in options.table:
        check_table(name)
    if options.format == "csv" and len(options.table) > 1:
        raise InputError("evaluation.one_csv", file="--table", found=len(options.table))
    if options.plots is not None:
        from datasets.evaluation.plots import check_plots

        check_plots()
    return EvaluationOptions(
        options.match,
        options.missing_as,
        options.keypoint_definition,
        options.mano,
        ranges,
        options.bootstrap,
        options.seed or 0,
        options.model,
    )


_NOT_BY_PROTOCOL = (
    "match",
    "missing_as",
    "range",
    "mano",
    "model",
    "bootstrap",
    "seed",
    "table",
    "plots",
)
"""Options of what FreiHAND's own evaluation does not do."""
_NEEDS = {"format": "table", "seed": "bootstrap"}
"""Options that say something of another one."""


def _check_used(options: argparse.Namespace) -> None:
    """Refuse options that would change nothing, which whoever gives them does not expect."""
    given = vars(options)
    if options.protocol is not None:
        for name in _NOT_BY_PROTOCOL:
            if given[name]:
                raise InputError(
                    "evaluation.not_with", file=_flag(name), other=f"--protocol {options.protocol}"
                )
    for name, other in _NEEDS.items():
        if given[name] is not None and not given[other]:
            raise InputError("evaluation.not_without", file=_flag(name), other=_flag(other))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _opened(named: Sequence[str], split: str | None) -> AnnotatedImages:
    from datasets.readers import open_dataset

    name, folder = named
    images = open_dataset(name, folder, split)
    if images.is_detected:
        raise InputError("evaluation.not_annotated", file=folder, dataset=name)
    return images


def _stored(store: Path, split: str | None) -> AnnotatedImages:
    """The data set that a store was made of."""
    from datasets.evaluation import stored_dataset

    said = stored_dataset(store)
    if said is None:
        raise InputError("evaluation.no_dataset", file=store)
    if not is_address(said.folder) and not Path(said.folder).exists():
        raise InputError("evaluation.moved", file=store, dataset=said.name, folder=said.folder)
    return _opened((said.name, said.folder), split or said.split)


def _protocol(
    options: argparse.Namespace, sources: Sequence[tuple[Path, AnnotatedImages, str | None]]
) -> None:
    """Print what FreiHAND's own evaluation prints."""
    from datasets.evaluation import freihand_evaluation, open_estimates

    definition, mano = options.keypoint_definition, options.mano
    found = [
        freihand_evaluation(open_estimates(source, truth, definition, mano), truth, label)
        for source, truth, label in sources
    ]
    _write_json(options, found)
    if not options.quiet:
        for evaluation in found:
            if len(found) > 1:
                print(f"{evaluation.label}:")
            print(evaluation.printed())


def _write_json(
    options: argparse.Namespace, found: Sequence[Evaluation | FreiHandEvaluation]
) -> None:
    """Write the figures: of one source as they are, of several as a list."""
    if options.json is None:
        return
    documents: Any = [evaluation.to_json() for evaluation in found]
    document = documents[0] if len(documents) == 1 else documents
    try:
        options.json.write_text(
            json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise InputError("output.cannot_write", file=options.json, reason=error.strerror) from error


def _print(options: argparse.Namespace, found: Sequence[Evaluation]) -> None:
    """Print the papers' tables that are asked for, or the figures."""
    if options.table:
        from datasets.evaluation import paper_table, tables_text

        tables = [paper_table(name, found) for name in options.table]
        print(tables_text(tables, options.format or "markdown"), end="")
        return
    from rich.console import Console
    from rich.table import Table

    for evaluation in found:
        title = f"{evaluation.source.name} on {evaluation.folder}"
        table = Table(title=title, caption=evaluation.caption())
        table.add_column("measure", no_wrap=True)
        for part in (evaluation.whole, *evaluation.parts):
            table.add_column(part.name, justify="right")
        for row in evaluation.rows():
            if row is None:
                table.add_section()
            else:
                table.add_row(*row)
        console = Console()
        if not console.is_terminal:
            # In a file or a pipe there is no width to keep to, and wrapped figures are no table.
            needed = console.measure(table, options=console.options.update(max_width=_WIDEST))
            console.width = max(console.width, needed.maximum)
        console.print(table)
