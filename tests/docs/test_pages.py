"""The pages of `docs/` say what the code does: tables, links, imports, commands, snippets."""

import ast
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from datasets.eval_command import eval_hands
from datasets.synthetic.command import synth_hands
from fitter.commands.fit_hands import fit_hands
from tests.support import mano_files
from tests.support.paths import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in PAGES}
ALL_TEXTS = {**TEXTS, "README.md": (ROOT / "README.md").read_text("utf-8")}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLE = "two_hands.jpg"
KERNELS = ("gpu", "gpu_kernels", "gpu_gradient_kernels", "gpu_edge_kernels")


@pytest.fixture(scope="module")
def make_docs():
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", TEXTS)
def test_tables_are_those_of_the_code(make_docs, page):
    # When this fails: python scripts/make_docs.py
    assert make_docs.filled(TEXTS[page]) == TEXTS[page]


def test_every_table_is_on_a_page(make_docs):
    found = [match["name"] for text in TEXTS.values() for match in make_docs.MARKED.finditer(text)]
    assert sorted(found) == sorted(make_docs.BLOCKS)


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as they are made where Markdown is shown."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL_TEXTS)
def test_links_resolve(page):
    links = re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", ALL_TEXTS[page]))
    broken = []
    for link in links:
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        known = path.exists() and (not anchor or anchor in anchors(path.read_text("utf-8")))
        broken += [] if known else [link]
    assert not broken


PACKAGES = ("fitter", "datasets", "init_net")


def modules() -> dict[str, Path]:
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    return {n.removesuffix(".__init__"): p for n, p in zip(names, files, strict=True)}


def imported(path: Path, everywhere: bool) -> set[str]:
    """Dotted names that a file imports: when it is imported, or also inside its functions."""
    tree = ast.parse(path.read_text("utf-8"))
    names = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_modules_import_only_what_stands_before_them():
    text = TEXTS["docs/architecture.md"]
    listed = text.split("<!-- floors -->")[1].split("<!-- end floors -->")[0]
    order = re.findall(r"`([\w.]+)`", listed)
    files = modules()
    assert sorted(order) == sorted(files)
    place = {name: number for number, name in enumerate(order)}
    wrong = []
    for name, path in files.items():
        for full in imported(path, everywhere=False):
            # `from fitter.camera import project` names a module and something in it.
            used = full if full in place else full.rpartition(".")[0]
            if used in place and place[used] >= place[name]:
                wrong.append(f"{name} imports {used}")
    assert not wrong


def test_packages_keep_to_their_homes():
    homes = {
        "init_net": set(),
        "datasets": {
            "datasets.freihand_evaluation",
            "datasets.synthetic.command",
        },
        "mediapipe": {"fitter.detection.mediapipe_graph", "fitter.detection.mediapipe_task"},
        "pickle": {"fitter.hand_models.assets"},
        "numba": {"fitter.raster.cpu.common"},
        "zarr": {"fitter.store.result_store", "fitter.store.layout", "fitter.store.image_names"},
        "ray": {f"fitter.cluster.{name}" for name in ("actors", "ray_start", "ray_workers")},
        "triton": {f"fitter.raster.{name}" for name in KERNELS},
        "pytorch3d": {"fitter.raster.pytorch3d"},
        "timm": {"init_net.networks.encoders"},
        "segmentation_models_pytorch": {"init_net.networks.segmentation"},
        "torch.utils.tensorboard": {"init_net.training.log"},
    }
    found = {package: set() for package in homes}
    for name, path in modules().items():
        for full in imported(path, everywhere=True):
            for package in homes:
                if f"{full}.".startswith(f"{package}.") and name.split(".")[0] != package:
                    found[package].add(name)
    # Networks are trained on data sets; the rule is the engine's.
    in_engine = {name for name in found["datasets"] if not name.startswith("init_net.")}
    assert in_engine <= homes["datasets"]
    assert {k: v for k, v in found.items() if k != "datasets"} == {
        k: v for k, v in homes.items() if k != "datasets"
    }


def test_commands_have_the_flags_that_pages_use(capsys):
    helps = {}
    for command in (fit_hands, eval_hands, synth_hands):
        with pytest.raises(SystemExit):
            command(["--help"])
        helps[command.__name__.replace("_", "-")] = capsys.readouterr().out
    lines = [
        line
        for text in ALL_TEXTS.values()
        for _, block in FENCED.findall(text)
        for line in block.splitlines()
        if line.startswith(tuple(helps))
    ]
    assert len(lines) >= 5
    for line in lines:
        command, *words = shlex.split(line, comments=True)
        for word in words:
            if word.startswith("--"):
                assert re.search(rf"{word}\b", helps[command]), f"{word} in {line!r}"


def test_sentences_about_bad_input_are_those_that_are_tested():
    sources = sorted((ROOT / "tests").glob("*bad*.py"))
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    said = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    rows = re.findall(r"^\|[^|]+\| ([^|]*`[^|]*) \|$", TEXTS["docs/bad_input.md"], re.MULTILINE)
    sentences = [sentence for row in rows for sentence in re.findall(r"`([^`]+)`", row)]
    assert len(sentences) > 30
    assert [s for s in sentences if not any(s.strip() in text for text in said)] == []


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """The files that the snippets name: results of two hands, a mask, and a MANO file."""
    folder = tmp_path_factory.mktemp("snippets")
    (folder / "photos").mkdir()
    shutil.copy(ROOT / "examples" / EXAMPLE, folder / "photos")
    truth = json.loads((ROOT / "examples" / "ground_truth.json").read_text("utf-8"))["hands"]
    hands = [
        {"side": hand["side"], "keypoints": hand["keypoints_2d"]}
        for hand in truth
        if hand["image"] == EXAMPLE
    ]
    assert {hand["side"] for hand in hands} == {"left", "right"}
    (folder / "keypoints.json").write_text(json.dumps({EXAMPLE: hands}))
    (folder / "masks").mkdir()
    with Image.open(folder / "photos" / EXAMPLE) as picture:
        Image.new("L", picture.size, 255).save(folder / "masks" / Path(EXAMPLE).with_suffix(".png"))
    names = {"--out": "results.zarr", "--keypoints": "keypoints.json"}
    options = [word for flag, name in names.items() for word in (flag, str(folder / name))]
    with pytest.raises(SystemExit) as ended:
        fit_hands([str(folder / "photos"), *options, "--save-vertices", "--quiet"])
    assert ended.value.code == 0
    mano_files.write_plain(folder / "MANO_RIGHT.pkl", mano_files.fabricate())
    return folder


SNIPPETS = [
    pytest.param(code, id=f"{page}-{number}")
    for page, text in ALL_TEXTS.items()
    for number, (language, code) in enumerate(FENCED.findall(text))
    if language == "python"
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_snippets_run(code, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})
