"""The scripts under tools/: each is the same few lines around a function of its name's module in mmagg.apis."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / 'tools').rglob('*.py'))


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_script_calls_a_tool_that_is_there(path: Path) -> None:
    tree = ast.parse(path.read_text())
    called = [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'run_tool'
    ]
    assert len(called) == 1
    module = import_module(f'mmagg.cli.{called[0]}')
    assert callable(getattr(module, called[0]))
    parser = module.parser()
    assert parser.description
    parser.format_help()  # a stray % in a help text fails here
    levels = len(path.relative_to(ROOT).parts) - 1
    assert f'parents[{levels}]' in path.read_text(), 'it finds the package from a plain clone'
