"""What docs/configs.md prints of configs is what they are: what they resolve to, and what a delta changes.

And what any page prints of a file of ours stands in it.
"""

import ast
import re
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config, ConfigDict

from mmagg.apis.config import base_files, load_config
from mmagg.cli.train import parser
from mmagg.models.postprocess import MaskPostProcessor

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs/configs.md').read_text()
BASE = 'aggmask/aggmask-solo_r50_fpn_3x_coco.py'
PAGES = [path.read_text() for path in sorted((ROOT / 'docs').glob('*.md'))]
FILE = re.compile(r'^```python title="(\w+/.+?)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
FILES = [found for page in PAGES for found in FILE.findall(page)]


def rows(header: str) -> list[list[str]]:
    """The cells of the table with this header, without the marks of code."""
    lines = PAGE.partition(f'{header}\n')[2].splitlines()[1:]
    end = next(i for i, line in enumerate(lines) if not line.startswith('|'))
    return [[cell.strip().strip('`') for cell in line.strip('|').split('|')] for line in lines[:end]]


def leaves(node, place: str = '') -> dict:
    """Dotted keys of a config's values; those of an entry of a list have its number."""
    if isinstance(node, dict):
        parts = node.items()
    elif isinstance(node, list) and any(isinstance(x, dict) for x in node):
        parts = enumerate(node)
    else:
        return {place: node}
    return {key: x for name, part in parts for key, x in leaves(part, f'{place}.{name}'.strip('.')).items()}


def short(path: Path) -> str:
    """A config as the page calls it: by its path below ``configs``, MMDetection's with its name."""
    folder, _, name = str(path).rpartition('configs/')
    return f'mmdet::{name}' if 'mmdet' in folder and '.mim' in folder else name


@pytest.mark.parametrize(('file', 'text'), FILES, ids=[file for file, _ in FILES])
def test_a_file_is_printed_as_it_is(file: str, text: str) -> None:
    assert text in (ROOT / file).read_text()


def test_the_chain_is_complete() -> None:
    (tree,) = re.findall(r'^```text\n(aggmask/.*?)^```$', PAGE, re.DOTALL | re.MULTILINE)
    path = ROOT / 'configs' / BASE
    assert {line.strip() for line in tree.splitlines()} == {short(file) for file in [path, *base_files(path)]}
    assert {file for file, _ in FILES} >= {f'configs/{line.strip()}' for line in tree.splitlines() if '::' not in line}


def test_values_and_the_files_that_set_them() -> None:
    """A key is set by the file that has the final value while none of its bases has."""
    path = ROOT / 'configs' / BASE
    read = {file: Config.fromfile(file) for file in [path, *base_files(path)]}
    bases = {file: set(base_files(cfg)) for file, cfg in read.items()}
    resolved = {file: leaves(cfg._cfg_dict) for file, cfg in read.items()}
    table = rows('| key | value | set by |')
    assert len(table) > 10
    for key, value, source in table:
        final = resolved[path][key]
        assert final == ast.literal_eval(value), key
        having = {file for file in read if resolved[file].get(key, ...) == final}
        (setter,) = [file for file in having if not having & bases[file]]
        assert short(setter) == source, key


def test_what_the_delta_changes(tmp_path: Path) -> None:
    (text,) = re.findall(rf"^    (_base_ = 'mmagg::{BASE}'\n    model = .*)$", PAGE, re.MULTILINE)
    own = tmp_path / 'own.py'
    own.write_text(re.sub('^    ', '', text, flags=re.MULTILINE))
    base, mine = (load_config(config) for config in (f'mmagg::{BASE}', own))
    table = {key: (old, new) for key, old, new in rows('| key | base | yours |')}
    before, after = leaves(base._cfg_dict), leaves(mine._cfg_dict)
    changed = {key for key in before.keys() | after.keys() if before.get(key, ...) != after.get(key, ...)}
    changed = {key for key in changed if not key.endswith('_scope_')}
    assert {next(row for row in table if f'{key}.'.startswith(f'{row}.')) for key in changed} == {*table}
    for key, (old, new) in table.items():
        given, wanted = value_at(base, key), value_at(mine, key)
        assert wanted == ast.literal_eval(new)
        assert given == ast.literal_eval(old) if not isinstance(given, ConfigDict) else given.type in old


def value_at(config: Config, key: str):
    node = config
    for name in key.split('.'):
        node = node[name]
    return node


def options(page: str) -> list[str]:
    """The options that a page has in its sentences, as they are typed; `--tta` has its own, which no config lists."""
    codes = [code.removeprefix('--cfg-options ') for code in re.findall(r'`([^`\n]+)`', page)]
    return [code for code in codes if re.match(r'"?(?!tta_)[a-z_]+\.[\w.]+=\S', code)]


OPTIONS = sorted({option for page in PAGES for option in options(page)})


@pytest.mark.parametrize('option', OPTIONS)
def test_options_in_sentences_are_taken(option: str) -> None:
    given = parser().parse_args(['config', '--cfg-options', *shlex.split(option)]).cfg_options
    cfg = load_config(f'mmagg::{BASE}', given)
    MaskPostProcessor(**cfg.model.test_cfg)
