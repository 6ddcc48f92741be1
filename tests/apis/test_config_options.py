"""Options for what is None in a config."""

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config

from mmagg.apis.config import load_config
from mmagg.apis.config_options import check_options, merge_options
from mmagg.io.errors import InputError

SEMANTIC = dict(type='SemanticHead', num_classes=80, in_channels=256)
KEY = 'model.mask_head.semantic'
SPELLINGS = {
    'a dict': {KEY: SEMANTIC},
    'a dict instead': {KEY: dict(_delete_=True, **SEMANTIC)},
    'dotted keys': {f'{KEY}.{name}': value for name, value in SEMANTIC.items()},
    'dotted keys instead': {f'{KEY}._delete_': True} | {f'{KEY}.{name}': value for name, value in SEMANTIC.items()},
    'a dict and a key': {KEY: dict(type='SemanticHead', num_classes=80), f'{KEY}.in_channels': 256},
    'a dict above it': {'model.mask_head': dict(semantic=SEMANTIC)},
    'from the top': {'model': dict(mask_head=dict(semantic=SEMANTIC))},
}


@pytest.fixture(scope='module')
def cfg(root) -> Config:
    return load_config(root / 'configs/blendmask/blendmask_r50_fpn_deeplab-p3p5_1x_coco.py')


@pytest.mark.parametrize('options', SPELLINGS.values(), ids=SPELLINGS)
def test_what_is_none_becomes_a_dict(cfg: Config, options: dict) -> None:
    before, given = cfg.to_dict(), repr(options)
    for changes in ((), [lambda cfg: None]):  # with changes, the options are merged twice
        changed = load_config(cfg, options, changes=changes)
        assert changed.model.mask_head.semantic == SEMANTIC
        assert changed.model.mask_head.masks == cfg.model.mask_head.masks
        MODELS.build(changed.model.mask_head.semantic)
    assert cfg.to_dict() == before
    assert repr(options) == given


def test_within_lists_and_several_levels_below() -> None:
    cfg = Config(dict(steps=[dict(a=None), dict(b=[dict(c=None)])], top=None))
    merge_options(cfg, {'steps.0.a': dict(x=1), 'steps.1.b.0.c.d.e': 2, 'top.x': dict(y=dict(z=3))})
    assert cfg.to_dict() == dict(
        steps=[dict(a=dict(x=1)), dict(b=[dict(c=dict(d=dict(e=2)))])], top=dict(x=dict(y=dict(z=3)))
    )
    merge_options(cfg, {'steps.0.a': None, 'top': {}})
    assert cfg.steps[0].a is None
    merge_options(cfg, {'steps.0.a': {}})
    assert cfg.steps[0].a == {}


def test_delete_at_the_top(cfg: Config) -> None:
    options = {'optim_wrapper': dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr=1))}
    changed = load_config(cfg, options, changes=[lambda cfg: None])
    assert changed.optim_wrapper == dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1))


@pytest.mark.parametrize(
    'options, message',
    [
        (
            {KEY: dict(SEMANTIC, num_clases=80)},
            rf'{KEY}\.num_clases: .*SemanticHead takes no such argument; did you mean',
        ),
        ({f'{KEY}.type': 'SemanticHead', f'{KEY}.num_clases': 80}, 'did you mean num_classes'),
        ({'model.backbone': dict(type='ResNet', depht=18)}, r'model\.backbone\.depht: .* did you mean depth'),
        ({'model.backbone.depth': dict(a=1)}, r'^--cfg-options model\.backbone\.depth: '),
        ({'model.backbone.depth': 18, 'val_evaluator.metric': dict(a=1)}, r'^--cfg-options val_evaluator\.metric: '),
        ({'train_dataloader.dataset.pipeline.2': dict(scal=1)}, r'pipeline\.2\.scal: '),
        ({'model': dict(mask_hed=dict(a=1))}, 'did you mean mask_head'),
    ],
)
def test_misspelt_keys_of_dicts_are_refused(cfg: Config, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_options(cfg, options)


def test_what_a_builder_reads_is_allowed(cfg: Config) -> None:
    check_options(cfg, {'model.backbone.conv_cfg': dict(type='Conv2d'), f'{KEY}.type': 'SemanticHead'})
    check_options(cfg, {f'{KEY}.type': 'SemanticHead', f'{KEY}.norm_cfg': dict(type='BN', requires_grad=False)})
    check_options(cfg, {'optim_wrapper.clip_grad': dict(max_norm=35, norm_type=2)})


def test_a_later_option_replaces_an_earlier_one(cfg: Config) -> None:
    options = {f'{KEY}.type': 'SemanticHead', 'model.backbone.depth': 18, 'model.backbone': None, KEY: None}
    changed = load_config(cfg, options)
    assert changed.model.backbone is changed.model.mask_head.semantic is None


@pytest.mark.parametrize('last', [{'model.part': [1]}, {'model.steps': dict(_delete_=True, x=1)}, {'model.steps': []}])
def test_a_later_option_of_another_form_replaces_an_earlier_one(last: dict) -> None:
    cfg = Config(dict(model=dict(part=dict(a=0), steps=[dict(a=0)])))
    check_options(cfg, {'model.part.a': 1, 'model.steps.0.a': 1, **last})


@pytest.mark.parametrize(
    'options, wanted',
    [
        ({'top.a': 1, 'top': dict(b=2)}, dict(top=dict(a=1, b=2), steps=[dict(a=1)])),
        ({'top': dict(b=2), 'top.a': 1}, dict(top=dict(a=1, b=2), steps=[dict(a=1)])),
        ({'top': dict(b=2, a=1), 'top.a': 3}, dict(top=dict(b=2, a=3), steps=[dict(a=1)])),
        ({'steps.0.a': 2, 'steps.0': dict(b=3)}, dict(top=None, steps=[dict(a=2, b=3)])),
        ({'steps.0.a': None, 'steps.0.a.b': 3}, dict(top=None, steps=[dict(a=dict(b=3))])),
        ({'top.a': 1, 'top': dict(_delete_=True, b=2)}, dict(top=dict(b=2), steps=[dict(a=1)])),
    ],
)
def test_options_are_merged_one_after_the_other(options: dict, wanted: dict) -> None:
    cfg = Config(dict(top=None, steps=[dict(a=1)]))
    merge_options(cfg, options)
    assert cfg.to_dict() == wanted


@pytest.mark.parametrize(
    'options',
    [{'model.test_cfg.nms': dict(type='MaskNMS', iou_thr=0.5)}, {'model.test_cfg.nms.type': 'MaskNMS'}],
    ids=['a dict', 'dotted keys'],
)
def test_another_type_does_not_keep_arguments_of_the_last(root, options: dict) -> None:
    solo = load_config(root / 'configs/solo/solo_r50_fpn_3x_coco.py')
    message = r'model.test_cfg.nms: MaskNMS takes no `kernel`, which .* of MatrixNMS; .*_delete_=True, type=.MaskNMS.'
    with pytest.raises(InputError, match=message):
        check_options(solo, options)
    nms = load_config(solo, {'model.test_cfg.nms': dict(_delete_=True, type='MaskNMS', iou_thr=0.5)}).model.test_cfg.nms
    assert nms == dict(type='MaskNMS', iou_thr=0.5)
    check_options(solo, {'model.mask_head.loss_mask.type': 'DiceLoss', 'model.backbone.type': 'ResNeXt'})
