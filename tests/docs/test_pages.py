"""The pages of `docs/` say what the code does: tables, links, imports, commands, snippets."""

import contextlib
import importlib.util
import json
import pkgutil
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from datasets.eval_command import eval_hands
from datasets.synthetic.command import synth_hands
from datasets.synthetic.files import SyntheticRequest, write_dataset
from fitter.commands.export_hands import export_hands
from fitter.commands.fit_hands import fit_hands
from fitter.commands.report_hands import report_hands
from fitter.commands.view_hands import view_hands
from fitter.errors import SENTENCES
from fitter.store.older import RENAMED_OPTIONS, RENAMED_VARIABLES
from init_net.training.command import train_hands
from tests.support import mano_files
from tests.support.freihand_files import write_freihand
from tests.support.nimble_files import copied
from tests.support.paths import ROOT
from tests.support.track_cases import OPTIONS as TRACKED
from tests.support.track_cases import write_hands_video
from tests.support.video_files import write_video

PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in PAGES}
ALL_TEXTS = TEXTS | {
    name: (ROOT / name).read_text("utf-8") for name in ("README.md", "CHANGELOG.md")
}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLE = "two_hands.jpg"
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))


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


def test_every_sentence_is_in_a_table(make_docs):
    shown = [topic for topics in make_docs.SENTENCE_TOPICS.values() for topic in topics]
    assert sorted(shown) == sorted({code.partition(".")[0] for code in SENTENCES})


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


@pytest.mark.parametrize("page", sorted(ALL_TEXTS.keys() - {"CHANGELOG.md"}))
def test_names_of_code_exist(page):
    named = set(re.findall(r"`([^`\n]+)`", FENCED.sub("", ALL_TEXTS[page])))
    dotted = {n for n in named if re.fullmatch(r"(fitter|init_net|datasets)(\.\w+)+", n)}
    assert [name for name in sorted(dotted) if not exists(name)] == []
    paths = {n for n in named if re.fullmatch(r"(fitter|init_net|datasets|scripts)/[\w./]+", n)}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or leads from one to what it holds."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("page", ALL_TEXTS)
def test_snippets_import_from_faces(page):
    code = "\n".join(
        code for language, code in FENCED.findall(ALL_TEXTS[page]) if language == "python"
    )
    ours = re.findall(
        r"^ *(?:from|import) ((?:fitter|init_net|datasets)[\w.]*)", code, re.MULTILINE
    )
    assert [module for module in ours if module.count(".") > 1] == []


def test_commands_have_the_flags_that_pages_use(capsys):
    helps = {}
    stores = (fit_hands, export_hands, report_hands, view_hands)
    for command in (*stores, eval_hands, synth_hands, train_hands):
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


def test_the_changelog_has_the_names_that_stores_are_read_by():
    table = re.compile(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", re.MULTILINE)
    rows = set(table.findall(ALL_TEXTS["CHANGELOG.md"]))
    assert {*RENAMED_VARIABLES.items(), *RENAMED_OPTIONS.items()} <= rows


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """The files that the snippets name: an image, results of its two hands, its keypoints and
    mask, results of a video, a MANO file, a small FreiHAND and rendered samples."""
    folder = tmp_path_factory.mktemp("snippets")
    (folder / "photos").mkdir()
    for path in (folder / "photo.jpg", folder / "photos" / EXAMPLE):
        shutil.copy(ROOT / "examples" / EXAMPLE, path)
    truth = json.loads((ROOT / "examples" / "ground_truth.json").read_text("utf-8"))["hands"]
    hands = [
        {"side": hand["side"], "keypoints": hand["keypoints_2d"]}
        for hand in truth
        if hand["image"] == EXAMPLE
    ]
    assert {hand["side"] for hand in hands} == {"left", "right"}
    (folder / "keypoints.json").write_text(json.dumps({EXAMPLE: hands}))
    (folder / "people.csv").write_text("image,person\n*,anna\n")
    (folder / "masks").mkdir()
    with Image.open(folder / "photos" / EXAMPLE) as picture:
        Image.new("L", picture.size, 255).save(folder / "masks" / Path(EXAMPLE).with_suffix(".png"))
    names = {"--out": "results.zarr", "--keypoints": "keypoints.json"}
    options = [word for flag, name in names.items() for word in (flag, str(folder / name))]
    with pytest.raises(SystemExit) as ended:
        fit_hands([str(folder / "photos"), *options, "--save-vertices", "--quiet"])
    assert ended.value.code == 0
    write_video(folder / "clip.mp4", 20)
    write_hands_video(folder / "video")
    with contextlib.chdir(folder / "video"), pytest.raises(SystemExit) as ended:
        fit_hands(["in", "--out", "../clip.zarr", *TRACKED])
    assert ended.value.code == 0
    mano_files.write_plain(folder / "MANO_RIGHT.pkl", mano_files.fabricate())
    copied(folder / "nimble")
    (folder / "models").mkdir()
    write_freihand(folder / "FreiHAND", folder / "models")
    list(write_dataset(SyntheticRequest(folder / "synthetic", 2, size=64)))
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


def cells(notebook: Path) -> list[str]:
    """The code of a notebook's cells; lines that speak to the notebook are left out."""
    sources = [
        "".join(cell["source"])
        for cell in json.loads(notebook.read_text("utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    return [re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE) for source in sources]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(notebook, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    namespace = {"__name__": "notebook"}
    for number, source in enumerate(cells(notebook)):
        exec(compile(source, f"{notebook.name}, cell {number}", "exec"), namespace)


def nav_files(nav: list) -> list[str]:
    """The files that the site's navigation names."""
    targets = [next(iter(entry.values())) if isinstance(entry, dict) else entry for entry in nav]
    lists = [nav_files(target) if isinstance(target, list) else [target] for target in targets]
    return [file for files in lists for file in files]


def test_the_site_shows_every_page():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(nav_files(nav)) == sorted(pages)


REFERENCE = {
    path: re.findall(r"^::: ([\w.]+)$", path.read_text("utf-8"), re.MULTILINE)
    for path in sorted((ROOT / "docs" / "api").glob("*.md"))
}


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_the_reference_names_modules_that_exist(path):
    assert REFERENCE[path]
    assert [name for name in REFERENCE[path] if importlib.util.find_spec(name) is None] == []
