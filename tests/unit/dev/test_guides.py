"""Every code block of README.rst and the guides is run by a test, or says why it is not."""

import ast

from dev.checks import guides
from dev.common import ROOT

TESTS = ROOT / "tests"


def named_by_tests():
    """Yield the names in ``guides.example("...")`` of all tests."""
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if "guides" in text:
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "guides.example":
                    yield ast.literal_eval(node.args[0])


def test_every_block_is_marked():
    assert not list(guides.unmarked())


def test_every_named_block_is_run():
    names = [block.name for block in guides.blocks() if block.name]
    assert len(names) > 20
    assert sorted(names) == sorted(set(names)), "a name occurs twice"
    assert set(names) == set(named_by_tests())


def test_a_block_without_a_mark_is_found(tmp_path, monkeypatch):
    for text in (
        ".. code-block:: sh\n\n   ls\n",
        ".. code-block:: sh\n   :class: pretty\n\n   ls\n",
        ".. code-block:: sh\n   :name: x\n   :class: output\n\n   ls\n",
        "Call it::\n\n    ls\n",
        ".. code:: sh\n\n   ls\n",
    ):
        (tmp_path / "README.rst").write_text(text)
        monkeypatch.setattr(guides, "ROOT", tmp_path)
        assert list(guides.unmarked()) == ["README.rst:1"], text


def test_a_block_is_dedented():
    assert guides.example("first-call").startswith("curl -i -X POST")
