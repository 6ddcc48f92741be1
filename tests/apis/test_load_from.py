"""How much of a model another checkpoint is."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmagg.apis.checkpoint import load_checkpoint
from mmagg.apis.config import load_config
from mmagg.apis.load_from import load_from
from mmagg.apis.plain_model import model_without_numbers
from mmagg.apis.training import train
from mmagg.datasets.coco_folder import with_num_classes
from mmagg.io.errors import InputError


@pytest.fixture(scope='module')
def cfg(root: Path) -> Config:
    """A SOLO of ours."""
    return load_config(root / 'configs/demo/solo_tiny_shapes.py')


@pytest.fixture(scope='module')
def state(cfg: Config) -> dict[str, torch.Tensor]:
    return MODELS.build(cfg.model).state_dict()


def looked_at(cfg: Config, content: dict, path: Path, *, allow_partial: bool = False) -> str:
    """The line on a checkpoint with this content."""
    torch.save(content, path)
    cfg = load_config(cfg, {'load_from': str(path)})
    return load_from(cfg, 'a.py', allow_partial=allow_partial).line.removeprefix(f'load_from {path}: ')


@pytest.mark.parametrize(
    'backbone',
    [
        dict(type='SwinTransformer', embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)),  # reads its numbers
        dict(type='ResNet', depth=18, base_channels=2, norm_cfg=dict(type='MMSyncBN')),  # wants a process group
    ],
    ids=lambda backbone: backbone['type'],
)
def test_models_that_are_not_built_without_numbers_or_alone(backbone) -> None:
    init_default_scope('mmdet')
    names = {name for name, _ in model_without_numbers(Config({'model': backbone})).named_parameters()}
    single = {**backbone, 'norm_cfg': {'type': 'LN' if 'Swin' in backbone['type'] else 'BN'}}
    assert names == {name for name, _ in MODELS.build(single).named_parameters()}


def test_all(cfg, state, tmp_path: Path) -> None:
    assert looked_at(cfg, state, tmp_path / 'a.pth') == 'all 76 parameters taken'
    old = {f'module.{key}': x for key, x in state.items() if not key.endswith('num_batches_tracked')}
    assert looked_at(cfg, {'state_dict': old}, tmp_path / 'b.pth') == 'all 76 parameters taken'


def test_the_parts_that_a_checkpoint_has_whole(cfg, state, tmp_path: Path) -> None:
    def brings(state: dict) -> list[str]:
        torch.save(state, tmp_path / 'a.pth')
        hook = load_from(load_config(cfg, {'load_from': str(tmp_path / 'a.pth')}), 'a.py', allow_partial=False)
        return [part for part in ('', 'backbone', 'neck', 'mask_head', 'nothing') if hook.brings(part)]

    state = {key: x for key, x in state.items() if not key.endswith('num_batches_tracked')}
    assert brings(state) == ['', 'backbone', 'neck', 'mask_head']
    assert brings({key: x for key, x in state.items() if key != 'backbone.bn1.running_mean'}) == ['neck', 'mask_head']


def test_other_classes(cfg, state, tmp_path: Path) -> None:
    more = {**state, 'mask_head.conv_cls.weight': torch.ones(80, 64, 3, 3), 'x': torch.ones(1)}
    del more['mask_head.conv_cls.bias']
    line = looked_at(cfg, {'state_dict': more, 'meta': {}}, tmp_path / 'a.pth')
    assert line == (
        "74 of 76 parameters (99 % of the model's numbers) taken; "
        'mask_head.conv_cls left: for 80 classes there and 5 here, and the checkpoint does not name them; '
        '1 not in it (mask_head.conv_cls.bias); 1 unknown to the model (x)'
    )


def of_classes(cfg: Config, *names: str) -> Config:
    """The config for other classes."""
    cfg = load_config(cfg)
    for _, part in with_num_classes(cfg.model):
        part['num_classes'] = len(names)
    cfg.train_dataloader.dataset.metainfo = dict(classes=names)
    return cfg


@pytest.mark.parametrize('name', ['solo', 'blendmask', 'mask-rcnn-fpn'])
def test_a_class_of_the_same_name_is_taken(name, root: Path, tmp_path: Path) -> None:
    cfg = load_config(root / f'configs/demo/{name}_tiny_shapes.py')
    there, here = of_classes(cfg, 'cat', 'Dog', 'hen'), of_classes(cfg, 'nut', 'dog', 'bolt', 'hen')
    state = MODELS.build(there.model).state_dict()
    meta = {'dataset_meta': {'classes': ('cat', 'Dog', 'hen')}}
    torch.save({'state_dict': state, 'meta': meta}, tmp_path / 'a.pth')
    here.load_from = str(tmp_path / 'a.pth')
    hook = load_from(here, 'a.py', allow_partial=False)
    own = MODELS.build(here.model).state_dict()
    assert 'the rows of dog, hen taken by name, those of nut, bolt left, which it does not know' in hook.line
    assert hook.line.count(' left') == 1
    assert hook.rows.keys() | hook.taken.keys() == own.keys()
    assert {key.rpartition('.')[0] for key in hook.rows} == {
        'solo': {'mask_head.conv_cls'},
        'blendmask': {'mask_head.boxes.conv_cls', 'mask_head.semantic.conv_logits'},
        'mask-rcnn-fpn': {'roi_head.bbox_head.fc_cls', 'roi_head.bbox_head.fc_reg', 'roi_head.mask_head.conv_logits'},
    }[name]
    pairs = [(1, 1), (3, 2)]
    for key, take in hook.rows.items():
        each = 4 if 'fc_reg' in key else 1
        first = 1 if 'semantic' in key else 0
        made, theirs = take(own[key]), state[key]
        for ours, its in pairs:
            for row in range(each):
                assert torch.equal(made[first + each * ours + row], theirs[first + each * its + row]), key
        assert torch.equal(made[first : first + each], own[key][first : first + each]), key
        if 'fc_cls' in key:  # the background
            assert torch.equal(made[-1], theirs[-1])
        if 'semantic' in key:
            assert torch.equal(made[0], theirs[0])


def test_as_many_classes_of_other_names(cfg, state, tmp_path: Path) -> None:
    here = of_classes(cfg, 'a', 'b', 'c', 'd', 'e')
    content = {'state_dict': state, 'meta': {'CLASSES': ('v', 'w', 'x', 'y', 'z')}}
    assert looked_at(here, content, tmp_path / 'a.pth') == (
        "74 of 76 parameters (99 % of the model's numbers) taken; "
        'mask_head.conv_cls left: of the classes here (a, b, c, d, … (5)) none is among its 5'
    )
    content['meta'] = {'CLASSES': ('e', 'd', 'c', 'b', 'a')}
    line = looked_at(here, content, tmp_path / 'b.pth')
    assert line.endswith('mask_head.conv_cls: the rows of all 5 classes taken by name, out of its 5')


def test_less_than_half_only_if_allowed(cfg, state, tmp_path: Path) -> None:
    part = {key: x for key, x in state.items() if key.startswith('neck')}
    with pytest.raises(InputError, match=r'only 6 of 76 parameters \(4 %.*less than half; --allow-partial takes'):
        looked_at(cfg, part, tmp_path / 'a.pth')
    assert '6 of 76 parameters (4 %' in looked_at(cfg, part, tmp_path / 'a.pth', allow_partial=True)
    with pytest.raises(InputError, match='only 0 of 76') as caught:
        looked_at(cfg, {'x': torch.ones(1)}, tmp_path / 'a.pth', allow_partial=True)
    assert '--allow-partial' not in str(caught.value)


def test_a_backbone_belongs_elsewhere(cfg, state, tmp_path: Path) -> None:
    alone = {key.removeprefix('backbone.'): x for key, x in state.items() if key.startswith('backbone')}
    alone |= {'fc.weight': torch.ones(1000, 512), 'fc.bias': torch.ones(1000)}
    with pytest.raises(InputError, match=r"model\.backbone\.init_cfg=dict\(type='Pretrained', checkpoint='.*a.pth'\)"):
        looked_at(cfg, alone, tmp_path / 'a.pth')


@pytest.mark.parametrize(
    'key, converter',
    [
        ('mask_head.cls_convs.0.conv.weight', 'convert-mmdet'),
        ('bbox_head.cate_convs.0.conv.weight', 'convert-aggmask'),
        ('basis_module.refine.0.0.weight', 'convert-adelaidet'),
    ],
)
def test_another_projects_names_its_converter_however_much_fits(key, converter, cfg, state, tmp_path: Path) -> None:
    theirs = {name: x for name, x in state.items() if 'class_tower' not in name} | {key: torch.ones(1)}
    with pytest.raises(InputError, match=rf'89 %.*{converter} \S+a.pth a_mmagg.pth --config a.py; --allow-partial'):
        looked_at(cfg, {'model': theirs}, tmp_path / 'a.pth')
    assert converter in looked_at(cfg, {'model': theirs}, tmp_path / 'a.pth', allow_partial=True)


def test_a_training_takes_what_fits(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    cfg = load_config(tiny_config)
    content = MODELS.build(cfg.model).state_dict()
    content = {key: torch.full_like(x, 0.01) for key, x in content.items() if not key.startswith('mask_head.conv_cls')}
    torch.save(content, tmp_path / 'a.pth')
    options = {
        'load_from': str(tmp_path / 'a.pth'),
        'optim_wrapper.optimizer.lr': 0.0,
        'train_cfg.max_iters': 1,
        'custom_hooks': [dict(type='EMAHook')],  # which reads the checkpoint as well
    }
    train(tiny_config, coco=shapes_folder, work_dir=tmp_path / 'run', cfg_options=options)
    trained = load_checkpoint(tmp_path / 'run/iter_1.pth')['state_dict']
    assert trained['mask_head.conv_cls.weight'].std() > 0
    assert all((trained[key] == 0.01).all() for key in content if 'running' not in key and 'num_batches' not in key)
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert log.count('parameters (') == 1
    assert 'missing keys' not in log
    assert 'does not match' not in log


def test_nothing_is_written_for_a_refused_one(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    torch.save({'x': torch.ones(1)}, tmp_path / 'a.pth')
    options = {'load_from': str(tmp_path / 'a.pth')}
    with pytest.raises(InputError, match='load_from'):
        train(tiny_config, coco=shapes_folder, work_dir=tmp_path / 'run', cfg_options=options)
    with pytest.raises(InputError, match='--allow-partial: the training starts from no other'):
        train(tiny_config, coco=shapes_folder, work_dir=tmp_path / 'run', allow_partial=True)
    assert not (tmp_path / 'run').exists()
