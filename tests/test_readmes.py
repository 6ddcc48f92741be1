"""The places that READMEs name exist: equations of the papers, links, tools, configs, files of the package."""

import ast
import re
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import pytest
import yaml
from mmengine.hub import get_config

from mmagg.engine.config_names import announce

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'configs').glob('*/README.md')])
CONFIGS = {path.name for path in (ROOT / 'configs').rglob('*.py')}
# Numbered equations of each paper. Places of those without are listed by what they are.
EQUATIONS = {
    'a2fpn': 13,
    'aggmask': 8,
    'backbones': 0,
    'blendmask': 4,
    'boxinst': 0,
    'dysample': 0,
    'meinst': 4,
    'sodar': 0,
    'solo': 5,
    'solov2': 0,
}
HEADER = '| equation | file | name |'

pages = pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(ROOT)))
methods = pytest.mark.parametrize('method', EQUATIONS)


def where_to_look(method: str) -> list[tuple[str, str, str]]:
    """The rows of a method's table: equation, file, name."""
    lines = (ROOT / 'configs' / method / 'README.md').read_text().splitlines()
    start = lines.index(HEADER) + 2
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith('|'))
    return [tuple(cell.strip() for cell in line.strip('|').split('|')) for line in lines[start:end]]


def numbers(cell: str) -> set[int]:
    """Numbers of equations that a cell begins with: 'Eqs. 7 and 11, kernels' -> {7, 11}, 'Eqs. 1 to 3' -> {1, 2, 3}."""
    found = re.match(r'Eqs?\. (\d+)(?: (and|to) (\d+))?', cell)
    if not found:
        return set()
    first, last = int(found[1]), int(found[3] or found[1])
    return set(range(first, last + 1)) if found[2] == 'to' else {first, last}


def quoted(cell: str) -> list[str]:
    return re.findall(r'`([^`]+)`', cell)


@cache
def defined(path: Path) -> set[str]:
    """Constants, functions, classes and their methods of a module, these as 'Class.method'."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(x.id for target in targets for x in ast.walk(target) if isinstance(x, ast.Name))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            names.update(f'{node.name}.{x.name}' for x in node.body if isinstance(x, ast.FunctionDef))
    return names


def test_every_method_has_a_readme():
    assert {path.parent.name for path in (ROOT / 'configs').glob('*/README.md')} == {*EQUATIONS, 'own'}


@methods
def test_every_equation_is_listed(method):
    listed = set().union(*(numbers(equation) for equation, _, _ in where_to_look(method)))
    assert listed == set(range(1, EQUATIONS[method] + 1))


@methods
def test_places_of_equations_exist(method):
    rows = where_to_look(method)
    assert len(rows) >= 4
    for equation, file, name in rows:
        if file == '–':
            assert name, f'{equation}: say where it is if not in a file of ours'
            continue
        assert len(quoted(file)) == 1, f'{equation}: one file'
        (path,) = quoted(file)
        assert (ROOT / path).is_file(), f'{equation}: no {path}'
        head = re.split('[:;]', name)[0]  # an explanation may follow
        assert quoted(head), f'{equation}: no name in {path}'
        missing = set(quoted(head)) - defined(ROOT / path)
        assert not missing, f'{equation}: {path} does not define {missing}'


@pytest.mark.parametrize(
    ('cell', 'expected'),
    [('Eq. 3, x', {3}), ('Eqs. 7 and 11, x', {7, 11}), ('Eqs. 1 to 3', {1, 2, 3}), ('Fig. 2', set())],
)
def test_numbers(cell, expected):
    assert numbers(cell) == expected


def test_names_of_a_module(tmp_path):
    path = tmp_path / 'x.py'
    path.write_text('A = 1\nB: int = 2\ndef f(): pass\nclass C:\n    def g(self):\n        self.h = 1\n')
    assert defined(path) == {'A', 'B', 'f', 'C', 'C.g'}


@pages
def test_links_resolve(page):
    targets = [target for target in re.findall(r'\]\(([^)#]+)[^)]*\)', page.read_text()) if '://' not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pages
def test_paths_exist(page):
    """Paths from the root, and configs by their names: of a method's README its own."""
    text = re.sub(r'mmdet::\S+', '', page.read_text())
    paths = re.findall(r'(?<![\w./:])(?:tools|configs|mmagg|tests)/[\w./-]+\.(?:py|sh|md|yml|cpp|jpg)', text)
    assert paths
    assert not [path for path in paths if not (ROOT / path).is_file()]
    assert not set(re.findall(r'[\w-]+_coco\.py|[\w-]+_tiny_\w+\.py', text)) - CONFIGS
    if page.parent != ROOT:
        assert not [name for name in re.findall(r'`([\w-]+_coco\.py)`', text) if not (page.parent / name).is_file()]


@pages
def test_named_configs_exist(page):
    announce()
    for config in sorted(set(re.findall(r'(?:mmdet|mmagg)::[\w./-]+\.py', page.read_text()))):
        get_config(config)  # raises


@pages
def test_python_names_resolve(page):
    for name in re.findall(r'(?<![\w.])mmagg(?:\.\w+)+', page.read_text()):
        resolve_name(name)  # raises


@methods
def test_metafile_names_files(method):
    folder = ROOT / 'configs' / method
    content = yaml.safe_load((folder / 'metafile.yml').read_text())
    (collection,) = content['Collections']
    named = [collection['Code']['URL'], *(model['Config'] for model in content['Models'])]
    assert not [path for path in named if not (ROOT / path).is_file()]
    assert len(content['Models']) == len(list(folder.glob('*.py')))
