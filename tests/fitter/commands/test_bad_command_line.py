"""Bad flags and configurations: one sentence and the exit status of a user's mistake."""

from pathlib import Path

import pytest
import torch

from datasets.eval_command import eval_hands
from fitter.commands import fit_hands as cli
from fitter.commands.fit_hands import fit_hands
from fitter.errors import sentence

SEE = "; see fit-hands --help"


class TestConfiguration:
    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            (
                b"fit:\n  max_iteration: 3\n",
                "c.yaml: unknown option 'fit.max_iteration'; did you mean 'max_iterations'?",
            ),
            (
                b"fti: {}\n",
                "c.yaml: unknown option 'fti'; did you mean 'fit'?",
            ),
            (
                b"fit:\n  max_iterations: many\n",
                "c.yaml: fit.max_iterations must be a whole number, found 'many'",
            ),
            (b"fit: 3\n", "c.yaml: fit must be a section of options, found a number"),
            (
                b"fit: [1,\n",
                "c.yaml: the configuration is not valid YAML at line 2: expected the node content, "
                "but found '<stream end>'",
            ),
            (
                b"? [a, b]\n: 3\n",
                "c.yaml: the configuration is not valid YAML at line 1: a name cannot be a list or "
                "a section",
            ),
            (b"\xff\xfe\x00", "c.yaml: the configuration is not UTF-8 text"),
            (b"- a\n", "c.yaml: the configuration must hold sections such as 'fit:', found a list"),
            (b"[" * 20_000, "c.yaml: the configuration is nested too deeply to be read"),
        ],
    )
    def test_file(self, here, refused, text, sentence):
        Path("c.yaml").write_bytes(text)
        refused(sentence, "--config", "c.yaml")

    def test_no_file(self, refused):
        refused(
            "no.yaml: cannot read the configuration: No such file or directory",
            "--config",
            "no.yaml",
        )

    def test_no_preset(self, refused):
        refused(
            "--config realistic_hand: expected a YAML file or one of the presets default, "
            "detailed, interaction, nimble_render_compare, realistic_hands, s2hand, textured, "
            "found neither",
            "--config",
            "realistic_hand",
        )

    @pytest.mark.parametrize(
        ("override", "sentence"),
        [
            ("fit.max_iteration=3", "unknown option 'fit.max_iteration'; did you mean "
             "'max_iterations'?"),
            ("fit.max_iterations=many", "fit.max_iterations must be a whole number, found 'many'"),
            ("fit.max_iterations=", "fit.max_iterations must be a whole number, found nothing"),
            ("fit.keypoint_scale=-1", "fit.keypoint_scale must be greater than 0, found -1"),
            ("max_iterations=3", "expected section.option=value, such as "
             "fit.num_initialisations=2"),
            ("fit.num_initialisations=[1", "'[1' is not a YAML value"),
        ],
    )  # fmt: skip
    def test_override(self, refused, override, sentence):
        refused(f"--set {override}: {sentence}", "--set", override)

    @pytest.mark.parametrize(
        ("flag", "value", "sentence"),
        [
            ("--max-hands", "0", "detector.max_hands must be greater than or equal to 1, found 0"),
            ("--batch-size", "0", "run.batch_size must be greater than or equal to 1, found 0"),
            ("--device", "cuda:7", "run.device must be 'cpu', 'cuda' or 'auto', found 'cuda:7'"),
            ("--device", "banana", "run.device must be 'cpu', 'cuda' or 'auto', found 'banana'"),
        ],
    )
    def test_flag(self, refused, flag, value, sentence):
        refused(f"{flag} {value}: {sentence}", flag, value)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_no_gpu(self, refused):
        refused(sentence("device.missing", {"file": "device 'cuda'"}), "--device", "cuda")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: --out"),
        (["photos", "--out", "o.zarr", "--bananas"], "unrecognized arguments: --bananas"),
        (["photos", "--out", "o.zarr", "--max", "1"], "unrecognized arguments: --max 1"),
        (
            ["photos", "--out", "o.zarr", "--max-hands", "x"],
            "argument --max-hands: expected a whole number or auto, found 'x'",
        ),
        (
            ["photos", "--out", "o.zarr", "--resume", "--overwrite"],
            "argument --overwrite: not allowed with argument --resume",
        ),
        (
            ["photos", "--out", "o.zarr", "--timeout-per-image", "1e7"],
            "argument --timeout-per-image: expected a number above 0 and up to 1,000,000, "
            "found '1e7'",
        ),
        (
            ["photos", "--out", "o.zarr", "--timeout-per-image", "nan"],
            "argument --timeout-per-image: expected a number above 0 and up to 1,000,000, "
            "found 'nan'",
        ),
        (
            ["a.jpg", "--out", "o.zarr", "b.jpg", "--bananas"],
            "unrecognized arguments: --bananas",
        ),
        (
            ["a.jpg", "--resume", "b.jpg", "--overwrite", "--out", "o.zarr"],
            "argument --overwrite: not allowed with argument --resume",
        ),
        (
            ["", "--out", "o.zarr"],
            "argument IMAGES: expected a value, found an empty text",
        ),
    ],
)
def test_usage_is_one_line(say, arguments, sentence):
    told = say(*arguments)
    assert (told.status, told.out, told.err) == (2, "", f"fit-hands: {sentence}{SEE}\n")


@pytest.mark.parametrize(
    ("arguments", "images"),
    [
        ("a.jpg --out o.zarr b.jpg", ["a.jpg", "b.jpg"]),
        ("--out o.zarr a.jpg b.jpg --resume", ["a.jpg", "b.jpg"]),
        ("a.jpg --set x.y=1 b.jpg --out o.zarr -q c.jpg", ["a.jpg", "b.jpg", "c.jpg"]),
        ("--out o.zarr -- -a.jpg", ["-a.jpg"]),
        ("a.jpg --out o.zarr -- -b.jpg", ["a.jpg", "-b.jpg"]),
        ("--resume - --out o.zarr", ["-"]),
    ],
)
def test_pictures_stand_on_both_sides_of_options(say, monkeypatch, arguments, images):
    seen = []
    monkeypatch.setattr(cli, "_fit_hands", lambda options: seen.append(options) or 0)
    assert say(*arguments.split()).status == 0
    (options,) = seen
    assert (options.images, options.out) == (images, Path("o.zarr"))
    assert options.set == (["x.y=1"] if "x.y=1" in arguments else [])
    assert (options.resume, options.quiet) == ("--resume" in arguments, "-q" in arguments)


@pytest.mark.parametrize("command", [fit_hands, eval_hands])
def test_help_is_a_manual_page(say, command):
    told = say("--help", command=command)
    assert told.status == 0
    assert told.err == ""
    for part in ("usage:", "examples:", "exit status:", "--quiet", "130"):
        assert part in told.out
    assert max(map(len, told.out.splitlines())) <= 100
