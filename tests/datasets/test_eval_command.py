"""The command: what it prints and writes, and what it refuses."""

import json

import numpy as np
import pytest

from datasets.annotations import Annotation
from datasets.eval_command import FORMAT_NAMES, eval_hands
from datasets.evaluation import FORMATS
from fitter.errors import sentence
from fitter.inputs import datasets
from tests.support.annotated import InMemoryImages, K, annotated_hand
from tests.support.scored_stores import ok, row_of, write_store

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(0, 0.04, (6, 21, 3)) + [0, 0, 0.6]
FOUND = (TRUTH + RNG.normal(0, 0.01, TRUTH.shape)).astype(np.float32)


def images(folder, split):
    """What the tests' reader opens."""
    hands = [annotated_hand(hand) for hand in TRUTH]
    found = InMemoryImages([Annotation(f"{i}.jpg", K, (hand,)) for i, hand in enumerate(hands)])
    found.root, found.split = folder, split
    return found


OFFER = datasets.DatasetOffer("tests", ("test", "train"), f"{__name__}:images")


@pytest.fixture(autouse=True)
def offered(monkeypatch):
    monkeypatch.setattr("datasets.readers.dataset_offer", lambda name: OFFER)
    monkeypatch.setattr(datasets.DatasetOffer, "open", lambda self, name, *rest: images(*rest))


@pytest.fixture
def store(tmp_path):
    rows = {f"{i}.jpg": ok(row_of(hand)) for i, hand in enumerate(FOUND)}
    return write_store(tmp_path / "r.zarr", rows)


def made_of(store, name, folder, split):
    """Let a store say that its images are a data set's."""
    attributes = json.loads((store / "zarr.json").read_text())
    place = {"name": name, "folder": str(folder), "split": split}
    attributes["attributes"]["dataset"] = json.dumps(place)
    (store / "zarr.json").write_text(json.dumps(attributes))


@pytest.fixture
def run(tmp_path, capsys):
    def run(*words, data=("--dataset", "tests", "of-tests")):
        with pytest.raises(SystemExit) as ended:
            eval_hands([*map(str, words), *data])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return run


def test_figures_are_printed_and_written(run, store, tmp_path):
    file = tmp_path / "figures.json"
    status, out, err = run(store, "--json", file, "--range", "0:3", "--range", "3:6")
    document = json.loads(file.read_text())
    assert (status, err) == (0, "") and f"{document['mpjpe_mm']:.2f}" in out
    assert list(document["parts"]) == ["0:3", "3:6"] and document["found"] == 6
    assert run(store, "--json", file, "-q")[:2] == (0, "")
    assert json.loads(file.read_text())["pa_mpjpe_mm"] == document["pa_mpjpe_mm"]


def test_a_store_knows_its_data_set(run, tmp_path):
    rows = {f"{i}.jpg": ok(row_of(hand)) for i, hand in enumerate(FOUND)}
    store = write_store(tmp_path / "r.zarr", rows)
    status, _, err = run(store, data=())
    assert (status, err) == (
        2,
        f"eval-hands: {sentence('evaluation.no_dataset', {'file': store})}\n",
    )
    there = tmp_path / "there"
    made_of(store, "tests", there, "train")
    file = tmp_path / "figures.json"
    said = sentence("evaluation.moved", {"file": store, "dataset": "tests", "folder": there})
    assert run(store, data=()) == (2, "", f"eval-hands: {said}\n")
    there.mkdir()
    assert run(store, "--json", file, data=())[0] == 0
    document = json.loads(file.read_text())
    assert (document["dataset"], document["split"]) == (str(there), "train")
    assert run(store, "--split", "test", "--json", file, data=())[0] == 0
    assert json.loads(file.read_text())["split"] == "test"


def test_several_sources_become_several_rows(run, store, tmp_path):
    pred = tmp_path / "pred.json"
    pred.write_text(json.dumps([TRUTH.tolist()]))
    file = tmp_path / "figures.json"
    status, out, _ = run(
        *(store, "--predictions", pred, "--label", "mine", "--label", "perfect"),
        *("--table", "s2hand2", "--table", "freihand", "--format", "json", "--json", file),
    )
    tables = json.loads(out)
    assert status == 0 and [table["title"][:8] for table in tables] == ["S2HAND (", "FreiHAND"]
    for table in tables:
        ours = [row for row in table["rows"] if not row["published"]]
        assert [row["Method"] for row in ours] == ["mine (ours)", "perfect (ours)"]
    assert tables[1]["rows"][-1]["joints"] == 0
    labels = [document["label"] for document in json.loads(file.read_text())]
    assert labels == ["mine", "perfect"]


def test_one_source_given_twice_has_two_labels(run, store):
    words = [store, store, "--label", "once", "--label", "again", "--table", "freihand"]
    out = run(*words, "--format", "csv")[1]
    assert [line.split(",")[0] for line in out.splitlines()[-2:]] == ["once (ours)", "again (ours)"]


def test_freihands_own_lines(run, store, tmp_path):
    file = tmp_path / "scores.json"
    status, out, _ = run(store, "--protocol", "freihand", "--json", file)
    assert status == 0 and out.startswith("Evaluation 3D KP results:\nauc=")
    document = json.loads(file.read_text())
    assert f"mean_kp3d_avg={document['xyz_al_mean3d']:.2f} cm" in out
    assert document["mesh_mean3d"] is None and document["found"] == document["hands"] == 6


def test_intervals_are_printed_and_plots_written(run, store, tmp_path):
    status, out, _ = run(store, "--bootstrap", "50", "--seed", "3", "--plots", tmp_path / "plots")
    assert status == 0 and "[" in out and (tmp_path / "plots" / "pck_joints.png").is_file()


def test_tables_in_a_pipe_are_not_wrapped(run, store, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ranges = [word for start in range(5) for word in ("--range", f"{start}:{start + 2}")]
    out = run(store, "--bootstrap", "20", *ranges)[1]
    (line,) = [line for line in out.splitlines() if "PA-MPJPE, mm" in line]
    assert line.count("[") == line.count("]") == 6


def test_formats_are_those_of_the_tables():
    assert tuple(FORMATS) == FORMAT_NAMES


@pytest.mark.parametrize(
    ("words", "code", "facts"),
    [
        (["--missing-as", "-1"], "evaluation.missing_as", {"file": "--missing-as", "found": -1.0}),
        (
            ["--missing-as", "inf"],
            "evaluation.missing_as",
            {"file": "--missing-as", "found": np.inf},
        ),
        (["--bootstrap", "-5"], "evaluation.bootstrap", {"file": "--bootstrap", "found": -5}),
        (["--range", "5:1"], "evaluation.range", {"file": "--range", "found": "5:1"}),
        (
            ["--range", "0:9"],
            "evaluation.range_beyond",
            {"file": "--range", "start": 0, "stop": 9, "dataset": "of-tests", "count": 6},
        ),
        (
            ["--label", "a", "--label", "b"],
            "evaluation.labels",
            {"file": "--label", "found": 2, "expected": 1},
        ),
        (
            ["--table", "yu1", "--table", "yu2", "--format", "csv"],
            "evaluation.one_csv",
            {"file": "--table", "found": 2},
        ),
        (["--format", "latex"], "evaluation.not_without", {"file": "--format", "other": "--table"}),
        (["--seed", "0"], "evaluation.not_without", {"file": "--seed", "other": "--bootstrap"}),
        (
            ["--mano", "no.pkl"],
            "model.missing",
            {"file": "no.pkl", "expected": "a MANO file"},
        ),
        *(
            (
                ["--protocol", "freihand", *words],
                "evaluation.not_with",
                {"file": words[0], "other": "--protocol freihand"},
            )
            for words in (
                ["--bootstrap", "200"],
                ["--range", "0:3"],
                ["--missing-as", "40"],
                ["--match", "place"],
                ["--mano", "no.pkl"],
                ["--table", "yu1"],
                ["--plots", "plots"],
            )
        ),
    ],
)
def test_options_that_cannot_be_are_refused(run, store, words, code, facts):
    status, out, err = run(store, *words)
    assert (status, out, err) == (2, "", f"eval-hands: {sentence(code, facts)}\n")


def test_something_has_to_be_compared(run, tmp_path):
    status, _, err = run()
    said = sentence("evaluation.no_source", {"file": "eval-hands"})
    assert (status, err) == (2, f"eval-hands: {said}\n")
    pred = tmp_path / "pred.json"
    status, _, err = run("--predictions", pred, data=())
    said = sentence("evaluation.predictions_dataset", {"file": pred})
    assert (status, err) == (2, f"eval-hands: {said}\n")


def test_files_that_cannot_be_written_or_read_are_named(run, store, tmp_path):
    for words in (
        [store, "--json", tmp_path / "no" / "f.json"],
        ["--predictions", tmp_path / "no.json"],
        [tmp_path / "no.zarr"],
    ):
        status, out, err = run(*words)
        assert (status, out) == (2, "") and str(words[-1]) in err and err.count("\n") == 1
