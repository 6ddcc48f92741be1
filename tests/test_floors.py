"""A room imports only from rooms on floors below its own, without circles; networks and operators have their tests."""

import ast
import sys
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from longest import FIRST

FLOORS = {
    '': -1,  # the package itself, which imports nothing
    'rle': 0,
    'io': 0,
    'ops': 1,
    'models': 2,
    'datasets': 2,
    'visualization': 2,
    'runtime': 2,
    'export': 3,
    'evaluation': 3,
    'engine': 3,
    'formats': 3,
    'weights': 3,
    'register': 4,
    'apis': 4,
    'registry': 5,
    'utils': 5,
    'convert': 5,
    'inside': 5,
    'experiments': 5,
    'costs': 6,
    'demo': 6,
    'cli': 7,
    '__main__': 8,
}
# The networks have floors of their own.
MODELS = {
    'layers': 0,
    'losses': 0,
    'backbones': 0,
    'targets': 0,
    'masks': 1,
    'necks': 1,
    'postprocess': 1,
    'heads': 2,
    'detectors': 2,
}
# What the files of a room import at their top level beside the standard library.
PACKAGES = {
    'ops': {'torch', 'numpy'},
    'rle': {'numpy'},
    'runtime': {'numpy', 'cv2'},
}
ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mmagg'
FILES = {path: path.relative_to(ROOT).with_suffix('').parts for path in sorted(PACKAGE.rglob('*.py'))}
MODULES = {'.'.join(parts[:-1] if parts[-1] == '__init__' else parts): path for path, parts in FILES.items()}


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules of the package that a file imports or names in a string, anywhere in it, packages included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in MODULES:
            names.add(node.value)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: imports are absolute'
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    names = {name if name in MODULES else name.rpartition('.')[0] for name in names if name.startswith('mmagg.')}
    return frozenset(names & MODULES.keys())


def rooms(module: str) -> tuple[str, str]:
    """A module's room, and the room within the networks, if it has one."""
    _, room, *rest = [*module.split('.'), '', '']
    return room, rest[0] if room == 'models' else ''


@pytest.mark.parametrize('module', MODULES)
def test_imports_only_from_floors_below(module):
    (own, part), path = rooms(module), MODULES[module]
    if not own or (own == 'models' and not part):
        assert not imported(path)
        return
    for name in imported(path):
        other, other_part = rooms(name)
        if other != own:
            assert FLOORS[other] < FLOORS[own], f'{module} imports {name}'
        elif other_part != part:
            assert MODELS[other_part] < MODELS[part], f'{module} imports {name}'


@pytest.mark.parametrize('module', MODULES)
def test_no_name_is_taken_from_a_package_around(module):
    """Such a package imports the file itself: a circle. Packages that import nothing may be asked for their modules."""
    around = {name for name in imported(MODULES[module]) if module.startswith(f'{name}.')}
    assert not {name for name in around if imported(MODULES[name])}
    bare = 'mmagg' in {
        alias.name
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert not bare or rooms(module)[0] == 'cli', 'import modules by their names'


def test_no_circles_between_files():
    graph = {module: imported(path) - {module} for module, path in MODULES.items()}
    # A package that lists its modules is imported by them through its parents alone.
    graph = {module: {name for name in names if not module.startswith(f'{name}.')} for module, names in graph.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f'circle of imports: {" <- ".join(error.args[1])}')


@pytest.mark.parametrize(
    'path', [path for path, parts in FILES.items() if parts[1] in PACKAGES], ids=lambda p: f'{p.parent.name}-{p.name}'
)
def test_low_rooms_need_few_packages(path):
    top_level = {
        (node.names[0].name if isinstance(node, ast.Import) else node.module).split('.')[0]
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    kernels = {'triton'} if path.stem.startswith('triton_') else set()  # which are imported where Triton is
    assert top_level <= {'mmagg', *PACKAGES[FILES[path][1]], *sys.stdlib_module_names, *kernels}


def test_tools_touch_only_commands():
    for path in (ROOT / 'tools').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith('mmagg'):
                assert node.module.startswith('mmagg.cli'), f'{path.name} imports {node.module}'


@pytest.mark.parametrize(
    'parts',
    [parts for parts in FILES.values() if parts[1] in ('models', 'ops') and parts[-1] != '__init__'],
    ids='.'.join,
)
def test_networks_and_operators_have_a_test_file_of_their_name(parts):
    _, *rooms, name = parts
    assert ROOT.joinpath('tests', *rooms, f'test_{name}.py').is_file()


def test_no_two_test_files_have_one_name():
    """Without packages among the tests, pytest imports them by their names alone."""
    names = Counter(path.name for path in (ROOT / 'tests').rglob('*.py'))
    assert [name for name, number in names.items() if number > 1] == ['conftest.py']
    assert set(FIRST) <= set(names)
