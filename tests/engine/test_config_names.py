"""Configs called ``mmagg::…``: by MMDetection's and mmengine's functions, and as the base of anyone's config."""

from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.apis import DetInferencer, init_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.hub import get_config
from mmengine.registry import MODELS as MODELS_OF_MMENGINE
from mmengine.registry import DefaultScope

import mmagg
from mmagg.apis.config import config_file, load_config
from mmagg.engine.config_names import announce
from mmagg.io.errors import InputError
from mmagg.models.heads import GridMaskHead
from mmagg.register import announce as announced_by_register

NAME = 'demo/aggmask_tiny_shapes.py'
CHANGES = 'model = dict(backbone=dict(init_cfg=None), mask_head=dict(num_classes=3))\n'


def own(folder: Path, base: str) -> Path:
    """A config in a folder of its own that is nowhere near those of mmagg."""
    path = folder / 'own.py'
    path.write_text(f'_base_ = {base}\n{CHANGES}')
    return path


@pytest.fixture
def by_name(tmp_path: Path) -> Path:
    """A config whose base is called by its name."""
    return own(tmp_path, f"'mmagg::{NAME}'")


@pytest.fixture(autouse=True)
def _scope_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmdet's functions set the default scope of the process."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())


def test_a_name_is_the_shipped_file(root: Path) -> None:
    assert announced_by_register is announce
    expected = Config.fromfile(root / 'configs' / NAME).to_dict()
    assert get_config(f'mmagg::{NAME}').to_dict() == expected
    assert load_config(f'mmagg::{NAME}').to_dict() == expected
    assert config_file(f'mmagg::{NAME}') == root / 'configs' / NAME
    assert config_file('any.py') == Path('any.py')


@pytest.mark.parametrize(
    'name', ['_base_/models/solo_r50_fpn.py', 'solo/solo_r50_fpn_1x_coco.py'], ids=['a part', 'in the metafile']
)
def test_every_file_has_a_name(name: str, root: Path) -> None:
    assert get_config(f'mmagg::{name}').to_dict() == Config.fromfile(root / 'configs' / name).to_dict()


def test_a_base_is_found_without_an_index(by_name: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mmengine reads a package's metafiles for each base, to no end."""
    monkeypatch.setattr('mmengine.config.utils.load', lambda path: pytest.fail(f'{path} is read'))
    assert load_config(by_name).model.mask_head.num_classes == 3
    name = 'solo/solo_r50_fpn_1x_coco.py'
    (tmp_path / 'of_mmdet.py').write_text(f"_base_ = 'mmdet::{name}'\n")
    theirs = Config.fromfile(Path(mmdet.__file__).parent / '.mim/configs' / name)
    assert load_config(tmp_path / 'of_mmdet.py').model.mask_head == theirs.model.mask_head


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(InputError, match=r'^config mmagg::demo/none\.py: .*none\.py" does not exist$'):
        load_config('mmagg::demo/none.py')
    with pytest.raises(FileNotFoundError, match=r'^mmagg::demo/none\.py: mmagg has no such config$'):
        mmagg.config('demo/none.py')


def test_what_comes_from_a_base_is_looked_up_in_its_scope(by_name: Path) -> None:
    model = load_config(by_name).model
    assert model['_scope_'] == 'mmagg'
    for registry in (MODELS, MODELS_OF_MMENGINE):
        head = registry.build(model).mask_head
        assert isinstance(head, GridMaskHead)
        assert head.num_classes == 3


def test_tools_that_know_no_mmagg_take_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are before anything has imported mmagg: mmengine knows no such package."""
    monkeypatch.delitem(MODULE2PACKAGE, 'mmagg')
    with pytest.raises(AssertionError, match='does not support to load mmagg'):
        Config.fromfile(own(tmp_path, f"'mmagg::{NAME}'"))
    cfg = Config.fromfile(own(tmp_path, f"__import__('mmagg').config('{NAME}')"))
    assert isinstance(MODELS_OF_MMENGINE.build({'_scope_': 'mmdet', **cfg.model}).mask_head, GridMaskHead)


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_mmdets_functions_take_them(by_name: Path, tmp_path: Path) -> None:
    model = init_detector(str(by_name), None, device='cpu')
    torch.save(
        {'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': ('a', 'b', 'c')}}}, tmp_path / 'w'
    )
    for config in (str(by_name), get_config(f'mmagg::{NAME}'), mmagg.config(NAME)):
        for scope in ('mmdet', 'mmagg'):
            inferencer = DetInferencer(config, str(tmp_path / 'w'), device='cpu', scope=scope)
            assert isinstance(inferencer.model.mask_head, GridMaskHead)
    assert 'aggmask-solo_r50_fpn_3x_coco' in DetInferencer.list_models('mmagg')
