"""A module imports only from floors below its own; the top folder names the floor."""

import ast
import sys
from pathlib import Path

import pytest

FLOORS = {
    'ops': 0,
    'layers': 1,
    'losses': 1,
    'backbones': 1,
    'necks': 2,
    'masks': 2,
    'targets': 2,
    'postprocess': 2,
    'heads': 3,
    'detectors': 3,
    'datasets': 4,
    'engine': 4,
    'evaluation': 4,
    'visualization': 4,
    'analysis': 4,
    'apis': 5,
    'register': 5,
}
STRANGERS = {'masks', 'targets', 'postprocess'}  # they never import each other
PACKAGE = Path(__file__).resolve().parents[1] / 'mmagg'
FILES = sorted(p for p in PACKAGE.rglob('*.py') if p.parent != PACKAGE or p.stem == 'register')


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def home(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_from_floors_below(path):
    own = home(path)
    for name in imported(path):
        if not name.startswith('mmagg.'):
            continue
        other = name.split('.')[1]
        if other == own or other not in FLOORS:
            continue
        assert FLOORS[other] < FLOORS[own] or (FLOORS[other] == FLOORS[own] and not {own, other} <= STRANGERS), (
            f'{own} imports {other}'
        )


@pytest.mark.parametrize('path', [p for p in FILES if home(p) == 'ops'], ids=lambda p: p.name)
def test_ops_need_torch_alone(path):
    tree = ast.parse(path.read_text())
    top_level = {
        (node.names[0].name if isinstance(node, ast.Import) else node.module or '').split('.')[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, 'level', 0)
    }
    assert top_level <= {'torch', 'numpy', *sys.stdlib_module_names}


def test_tools_touch_only_apis():
    for path in (PACKAGE.parent / 'tools').rglob('*.py'):
        for name in imported(path):
            assert not name.startswith('mmagg.') or name.startswith('mmagg.apis.'), f'{path.name} imports {name}'
