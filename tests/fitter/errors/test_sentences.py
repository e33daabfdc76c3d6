"""The table of sentences and the code that raises errors know the same codes."""

import ast
import re
from string import Formatter

from fitter.errors import SENTENCES, InputError
from tests.support.errors import raises
from tests.support.paths import ROOT

TABLE = ROOT / "fitter" / "errors" / "sentences"
TREES = [
    ast.parse(path.read_text("utf-8"))
    for package in ("fitter", "init_net", "datasets")
    for path in sorted((ROOT / package).rglob("*.py"))
    if TABLE not in path.parents
]
RAISERS = {"InputError", "LostError", "UserError", "DivergedError", "mistake", "refused_as"}
TEXTS = {
    node.value
    for tree in TREES
    for node in ast.walk(tree)
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
}


def literal_codes():
    """Literals where an error takes its code; "a" and "b" of `"a" if x else "b"`."""
    for tree in TREES:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            code = node.args[0]
            choices = [code.body, code.orelse] if isinstance(code, ast.IfExp) else [code]
            if name in RAISERS:
                yield from (c.value for c in choices if isinstance(c, ast.Constant))


def test_every_code_that_is_raised_has_a_sentence():
    raised = set(literal_codes())
    assert len(raised) > 200
    assert sorted(raised - set(SENTENCES)) == []


def test_every_sentence_is_said_somewhere():
    assert sorted(set(SENTENCES) - TEXTS) == []


def test_codes_name_a_topic_and_sentences_name_their_facts():
    for code, wording in SENTENCES.items():
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", code)
        facts = [name for _, name, _, _ in Formatter().parse(wording) if name is not None]
        assert all(re.match(r"[a-z_]+", name) for name in facts), code
        assert "file" not in facts, f"{code}: the file stands in front of the sentence"
        assert not wording.endswith("."), f"{code}: a part of a line, not all of it"


def test_an_error_without_a_sentence_cannot_be_made():
    for code, facts in (("no.such_code", {}), ("array.channels", {})):
        try:
            InputError(code, **facts)
        except KeyError:
            continue
        raise AssertionError(code)


def test_the_file_stands_in_front():
    with raises("array.channels", file="K.png", found=4) as raised:
        raise InputError("array.channels", file="K.png", found=4)
    assert str(raised.value) == "K.png: expected 3 channels (RGB), found 4"
    assert raised.value.without("file") == "expected 3 channels (RGB), found 4"
