"""Every row and every option that a method's README documents builds a model that runs: see `option_rows.py`.

Models are slim, see `slim_configs`: an eighth of the channels, fewer layers, random weights, two small images.
"""

import argparse
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.model import revert_sync_batchnorm
from option_rows import Documented, option_rows
from slim_configs import few_classes, slim
from test_configs import sample

from mmagg.apis.config import load_config
from mmagg.apis.config_options import _arguments_of
from mmagg.cli.arguments import add_cfg_options
from mmagg.datasets.config_parts import dicts
from mmagg.models.masks import assume_dictionaries

ROOT = Path(__file__).resolve().parents[1]
PAGES = {path.parent.name: path.read_text() for path in sorted((ROOT / 'configs').glob('*/README.md'))}
FOUND = {method: option_rows(page) for method, page in PAGES.items()}
SIZE = 96

# Code with "=" that is no option of a config of its method, and why.
NO_OPTIONS = {
    'MMAGG_REASSEMBLY=torch|mmcv|triton': 'a variable of the environment',
    'MMAGG_DYNAMIC_CONV=torch': 'a variable of the environment',
    'ceil_mode=True': 'an argument of a pooling',
    'align_corners=False': 'an argument of an interpolation',
    'finest_conv=False': 'goes with another option, in the same cell',
    "basis=dict(type='DeepLabDecoder', …)": 'not written out; the configs with deeplab in their names have it',
    'coefficients=None': 'goes with another option, in the same cell',
    "merger='gate'": 'goes with one basis, in the same cell; a row of Table 3',
    "merger='assemble'": 'goes with 16 bases, in the same cell; a row of Table 1',
    'bottom_up=None': 'goes with another option, in the same cell',
    "parameters.features='mask_tower'": "of SOLOv2; one of the authors' cases",
    "source='mask_features'": 'of SOLOv2, whose config has it',
    'interpolation_mode=5': "a switch of the release's",
    "type='DCN'": 'of a dcn_cfg that is named before it',
    "features='own_tower'": 'wants a tower with it, as the configs on SOLOv2 have',
    "visualizer=dict(type='RLEVisualizer')": 'of the config, not of the model',
    'class_agnostic=True': 'of any of the two kinds of NMS',
    '--cfg-options model.mask_head.masks.codec.dictionary=FILE.npz': 'names a file',
}

read = cache(load_config)
RAN: set[str] = set()  # slim models that ran already


def documented() -> Iterator:
    """All rows and options in sentences, each once."""
    for method, found in FOUND.items():
        for row in dict.fromkeys([*found.rows, *found.sentences]):
            if row.place not in NO_OPTIONS:
                yield pytest.param(method, row, id=f'{method}/{row.place}: {" ".join(row.options)}')


def relative() -> Iterator:
    for method, found in FOUND.items():
        for code in dict.fromkeys(found.relative):
            if code not in NO_OPTIONS:
                yield pytest.param(method, code, id=f'{method}/{code}')


def config_of(method: str, name: str) -> str:
    if name.startswith('mmdet::'):
        return name
    return str(next(iter((ROOT / 'configs').rglob(name)), ROOT / 'configs' / method / name))


def as_typed(options: tuple[str, ...]) -> dict | None:
    """The words after ``--cfg-options`` as the commands read them."""
    parser = argparse.ArgumentParser()
    add_cfg_options(parser, '')
    return parser.parse_args(['--cfg-options', *options]).cfg_options if options else None


def runs(model: ConfigDict) -> None:
    """Build a slim form of a model and let it predict, unless that was done before."""
    slim(model)
    few_classes(model)
    if (slimmed := repr(model)) in RAN:
        return
    model = revert_sync_batchnorm(MODELS.build(model))
    assume_dictionaries(model)
    with torch.no_grad():
        # Two images: a single place of a single image is refused by group normalisation of single channels.
        found, _ = model.eval()(torch.randn(2, 3, SIZE, SIZE), [sample(SIZE), sample(SIZE)], mode='predict')
    assert found.pred_instances.bboxes.shape[1] == 4
    RAN.add(slimmed)


@pytest.mark.parametrize('method, row', documented())
def test_a_documented_row_runs(method: str, row: Documented) -> None:
    cfg = load_config(config_of(method, row.config), as_typed(row.options))
    roots = {option.split('.')[0] for option in row.options} or {'model'}
    if 'model' in roots:
        runs(cfg.model)
    for root in roots - {'model'}:
        if root.endswith('_dataloader'):
            Compose(cfg[root].dataset.pipeline)


@pytest.mark.parametrize('method, code', relative())
def test_an_option_that_a_sentence_names_runs(method: str, code: str) -> None:
    """It is set where a config of the method has its first name, or a class that takes it."""
    key, _, value = code.partition('=')
    for one in alternatives(value):
        for path in sorted((ROOT / 'configs' / method).glob('*.py')):
            cfg = load_config(read(path))
            if (place := place_of(cfg, key)) is not None:
                place[key.split('.')[-1]] = evaluated(one)
                runs(cfg.model)
                break
        else:
            pytest.fail(f'no config of {method} has a place for {key}; list {code!r} in NO_OPTIONS with the reason')


def alternatives(value: str) -> list[str]:
    """`'a'|'b'` stands for either: 1 value -> 1 or more."""
    head, bar, rest = value.partition("'|'")
    if not bar:
        return [value]
    start, first = head.rsplit("'", 1)
    names, end = rest.split("'", 1) if "'|'" not in rest else (rest[: rest.rindex("'|'")], '')
    if "'|'" in rest:
        last, end = rest[rest.rindex("'|'") + 3 :].split("'", 1)
        names = f"{names}'|'{last}"
    return [f"{start}'{name}'{end}" for name in [first, *names.split("'|'")]]


def evaluated(value: str) -> object:
    return eval(value, {'__builtins__': {}}, {'dict': ConfigDict, **{name: name for name in WORDS}})


WORDS = 'random', 'none', 'positive', 'DCNv2'  # as the command line takes them, without quotes


def place_of(cfg: Config, key: str) -> ConfigDict | None:
    """The part of a config's model in which the last name of a relative key is set."""
    first, *below = key.split('.')
    parts = [part for _, part in dicts(cfg.model)]
    holding = [part for part in parts if first in part]
    taking = [part for part in parts if first in (_arguments_of(part.get('type')) or ())]
    for part in holding if below else holding + taking:
        for name in [first, *below][:-1]:
            part = part.get(name) if isinstance(part, dict) else None
        if isinstance(part, dict):
            return part
    return None


def test_alternatives() -> None:
    assert alternatives("dict(a='x'|'y', b=1)") == ["dict(a='x', b=1)", "dict(a='y', b=1)"]
    assert alternatives("'x'|'y'|'z'") == ["'x'", "'y'", "'z'"]
    assert alternatives('3') == ['3']


def test_rows_are_read() -> None:
    page = """
Each row is a config, or `a_coco.py` with options; the base of Table 2 is `b_coco.py`.

| table, row | how | AP |
|---|---|---|
| 1, x | the base | 1 |
| 1, n 2 / 3 / 4 | `M.n=2` / the base / `4` | 1 |
| 2, y | `M.a=1 M.b=2` / `"(3,4)"` | 1 |
| 3, z | `c_coco.py` with `model.x="[1]"` | 1 |
| 3, w | the same and `M.c=None` | 1 |
| 3, v | `M.d=1` on the base of Table 2 | 1 |

In a sentence: `--cfg-options model.q=1`, or `q.r=2`.

| option of `s` | default | others |
|---|---|---|
| `t`, `u.v` | 'x' | `'y'`, `None`: as `t` |
| `w`, `x.type` | `Some` | `Other` (plain) |
"""
    found = option_rows(page)
    m = 'model.mask_head.masks'
    assert [(row.config, row.options) for row in found.rows] == [
        ('a_coco.py', ()),
        ('a_coco.py', (f'{m}.n=2',)),
        ('a_coco.py', ()),
        ('a_coco.py', (f'{m}.n=4',)),
        ('b_coco.py', (f'{m}.a=1', f'{m}.b=2')),
        ('b_coco.py', (f'{m}.a=1', f'{m}.b=(3,4)')),
        ('c_coco.py', ('model.x=[1]',)),
        ('c_coco.py', ('model.x=[1]', f'{m}.c=None')),
        ('b_coco.py', (f'{m}.d=1',)),
    ]
    assert [(row.config, row.options) for row in found.sentences] == [('a_coco.py', ('model.q=1',))]
    tables = ["t='y'", 't=None', "u.v='y'", 'u.v=None', "w=dict(type='Other')", "x.type='Other'"]
    assert found.relative == ['q.r=2', *tables]


@pytest.mark.parametrize('how', ['as before', '`x`', '`M.x=1`'])
def test_what_cannot_be_read_is_refused(how: str) -> None:
    with pytest.raises(ValueError, match='row "1, x"'):
        option_rows(f'| row | how |\n|---|---|\n| 1, x | {how} |\n')
