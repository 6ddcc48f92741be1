"""What the flags of a training change in its config."""

import sys
from types import ModuleType

import pytest
from mmdet.registry import DATASETS, HOOKS
from mmengine.config import Config
from mmengine.hooks import EarlyStoppingHook, EMAHook
from mmengine.registry import VISBACKENDS

from mmagg.apis.config import load_config, shipped_config
from mmagg.apis.training_options import LOGGERS, RARE, add, change
from mmagg.io.errors import InputError

SOLO = shipped_config('solo/solo_r50_fpn_1x_coco.py')
LITE = shipped_config('own/blendmask_lite0_fpn_320.py')
TINY = shipped_config('demo/solo_tiny_shapes.py')


def changed(config=SOLO, options=None, notes=None, launcher='none', **flags) -> Config:
    """A config as flags and options leave it."""

    def by_flags(cfg):
        change(cfg, flags=flags, options=options, launcher=launcher, notes=[] if notes is None else notes)

    cfg = load_config(config, options, changes=[by_flags])
    add(cfg, flags=flags)
    return cfg


def test_without_flags_nothing_changes() -> None:
    assert changed().to_dict() == load_config(SOLO).to_dict()


def test_the_learning_rate_of_sgd_goes_with_the_images_of_a_step() -> None:
    notes = []
    cfg = changed(batch_size=4, notes=notes)
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.01 * 4 / 16)  # the config's is for 8 x 2 images
    assert notes == ['learning rate 0.01 → 0.0025, for 4 images a step instead of 16']
    again = changed(cfg, batch_size=4)  # as of a run's own config
    assert again.to_dict() == cfg.to_dict()


def test_accumulated_images_count_as_those_of_a_step() -> None:
    cfg = changed(batch_size=2, accumulate=8)
    assert (cfg.optim_wrapper.accumulative_counts, cfg.optim_wrapper.optimizer.lr) == (8, 0.01)
    assert changed(accumulate=4).optim_wrapper.optimizer.lr == pytest.approx(0.01 * 8 / 16)


def test_the_learning_rate_counts_the_images_of_all_processes(monkeypatch) -> None:
    for name, value in (('RANK', '0'), ('WORLD_SIZE', '8'), ('LOCAL_RANK', '0')):
        monkeypatch.setenv(name, value)
    assert changed(batch_size=4, launcher='pytorch').optim_wrapper.optimizer.lr == pytest.approx(0.02)


def test_adams_learning_rate_goes_with_the_root() -> None:
    notes = []
    cfg = changed(TINY, batch_size=32, notes=notes)  # without `auto_scale_lr`, for the config's own 8
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.002 * 2)
    assert notes == ['learning rate 0.002 → 0.004, for 32 images a step instead of 8, by the root, as for Adam']


def test_mmengines_own_scaling_is_left_to_it() -> None:
    notes = []
    cfg = changed(batch_size=4, notes=notes, options={'auto_scale_lr.enable': True})
    assert (cfg.optim_wrapper.optimizer.lr, notes) == (0.01, [])


@pytest.mark.parametrize(
    'options', [{'optim_wrapper.optimizer.lr': 0.3}, {'optim_wrapper': {'optimizer': {'lr': 0.3}}}]
)
def test_a_learning_rate_among_the_options_is_the_one(options) -> None:
    notes = []
    assert changed(batch_size=4, notes=notes, options=options).optim_wrapper.optimizer.lr == 0.3
    assert notes == []


def test_options_win_over_flags_with_a_word() -> None:
    notes = []
    options = {
        'train_cfg.max_epochs': 24,
        'train_dataloader': {'batch_size': 8},
        'default_hooks.checkpoint.interval': 2,
    }
    cfg = changed(epochs=36, batch_size=4, save_best=True, options=options, notes=notes)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (24, 8)
    assert cfg.param_scheduler[1].milestones == [8, 11]  # as without the flag
    assert cfg.default_hooks.checkpoint.interval == 2
    assert notes[:2] == [
        '--epochs 36: --cfg-options train_cfg.max_epochs wins',
        '--batch-size 4: --cfg-options train_dataloader.batch_size wins',
    ]


def test_workers_of_all_loaders() -> None:
    cfg = changed(workers=3)
    loaders = [cfg[f'{stage}_dataloader'] for stage in ('train', 'val', 'test')]
    assert [loader.num_workers for loader in loaders] == [3, 3, 3]
    loaders = [changed(workers=0)[f'{stage}_dataloader'] for stage in ('train', 'val', 'test')]
    assert [(loader.num_workers, loader.persistent_workers) for loader in loaders] == [(0, False)] * 3


def test_freezing_takes_the_norm_along_and_knows_the_backbone() -> None:
    backbone = changed(TINY, freeze=2).model.backbone
    assert (backbone.frozen_stages, backbone.norm_eval) == (2, True)
    with pytest.raises(InputError, match=r'^--freeze 4: the backbone has 3 stages; a number from 0 to 3 is wanted$'):
        changed(TINY, freeze=4)
    with pytest.raises(InputError, match=r'^--freeze 5: the backbone has 4 stages; a number from 0 to 4'):
        changed(LITE, freeze=5)
    assert changed(LITE, freeze=4).model.backbone.frozen_stages == 4
    with pytest.raises(InputError, match='--freeze 1: SSDVGG has no stages'):
        changed(TINY, freeze=1, options={'model.backbone': dict(_delete_=True, type='SSDVGG', depth=16)})


def test_the_best_checkpoint_is_that_of_the_masks_unless_the_config_says_otherwise() -> None:
    assert changed(save_best=True).default_hooks.checkpoint.save_best == 'coco/segm_mAP'
    boxes = changed(save_best=True, options={'val_evaluator.metric': 'bbox'})
    assert boxes.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'
    own = changed(save_best=True, options={'default_hooks.checkpoint.save_best': 'coco/segm_mAP_50'})
    assert own.default_hooks.checkpoint.save_best == 'coco/segm_mAP_50'
    none = {'val_evaluator': None, 'val_cfg': None, 'val_dataloader': None}
    assert 'save_best' not in changed(save_best=True, options=none).default_hooks.checkpoint
    classwise = changed(save_best=True, options={'val_evaluator.classwise': True})
    assert classwise.default_hooks.checkpoint.save_best == 'coco/segm_mAP'


def test_no_best_checkpoint_is_kept_where_none_is_wanted() -> None:
    own = shipped_config('own/blendmask_lite0_fpn_320.py')
    assert 'save_best' in load_config(own).default_hooks.checkpoint
    assert 'save_best' not in changed(own, save_best=False).default_hooks.checkpoint
    named = changed(own, save_best=False, options={'default_hooks.checkpoint.save_best': 'coco/bbox_mAP'})
    assert named.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'
    assert changed(own, save_best=False, options={'default_hooks.checkpoint': None}).default_hooks.checkpoint is None


def test_hooks_are_mmengines_and_come_after_those_of_the_config() -> None:
    options = {'custom_hooks': [dict(type='FiniteLossHook')]}
    hooks = changed(ema=True, patience=3, options=options).custom_hooks
    assert hooks[0].type == 'FiniteLossHook'
    ema, stopping = (HOOKS.build(hook) for hook in hooks[1:])
    assert type(ema) is EMAHook
    assert type(stopping) is EarlyStoppingHook
    assert (stopping.monitor, stopping.rule, stopping.patience) == ('coco/segm_mAP', 'greater', 3)
    assert (ema.ema_cfg['type'], ema.ema_cfg['update_buffers']) == ('ExpMomentumEMA', True)


def test_small_gains_count_for_patience_and_none_does_not() -> None:
    hook = HOOKS.build(changed(patience=2).custom_hooks[-1])
    assert not any(hook._check_stop_condition(score)[0] for score in (0.0, 0.001, 0.002, 0.002, 0.003, 0.003))
    assert hook._check_stop_condition(0.003)[0]


def test_patience_needs_a_validation() -> None:
    with pytest.raises(InputError, match='--patience 3: the config has no validation'):
        changed(patience=3, options={'val_evaluator': None, 'val_cfg': None, 'val_dataloader': None})


def test_rare_classes_are_repeated_by_mmdets_wrapper(shapes_folder) -> None:
    options = {'train_dataloader.dataset.pipeline.0.to_float32': True}  # of the config's data set
    dataset = changed(TINY, class_balanced=True, options=options).train_dataloader.dataset
    assert (dataset.type, dataset.oversample_thr) == ('ClassBalancedDataset', RARE)
    assert dataset.dataset.pipeline[0].to_float32
    dataset.dataset.update(data_root=str(shapes_folder), pipeline=[])
    assert len(DATASETS.build(dataset)) >= 4
    again = changed(changed(TINY, class_balanced=True), class_balanced=True)
    assert again.train_dataloader.dataset.dataset.type == 'CocoDataset'


def test_more_detections_are_found_and_counted() -> None:
    cfg = changed(max_detections=600)
    assert (cfg.model.test_cfg.max_per_img, cfg.model.test_cfg.nms_pre) == (600, 600)
    assert (cfg.val_evaluator.max_dets, cfg.test_evaluator.max_dets) == (600, 600)
    fewer = changed(max_detections=20)
    assert (fewer.model.test_cfg.max_per_img, fewer.val_evaluator.max_dets) == (20, 100)
    two = changed(shipped_config('a2fpn/mask-rcnn_r50_fpn_1x_coco.py'), max_detections=2000).model.test_cfg
    assert (two.rcnn.max_per_img, two.rpn.max_per_img) == (2000, 2000)


def test_loggers_are_mmengines_backends(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'wandb', ModuleType('wandb'))
    backends = changed(logger=['wandb', 'wandb']).visualizer.vis_backends
    assert [backend.type for backend in backends] == ['LocalVisBackend', 'WandbVisBackend']
    assert all(VISBACKENDS.get(backend) for backend, _, _ in LOGGERS.values())
    monkeypatch.setitem(sys.modules, 'mlflow', None)
    with pytest.raises(InputError, match=r'^--logger mlflow: .*; pip install mlflow$'):
        changed(logger=['mlflow'])
    with pytest.raises(InputError, match='choose one of tensorboard, wandb'):
        changed(logger=['paper'])


@pytest.mark.parametrize('flag', ['epochs', 'batch_size', 'accumulate', 'short_side', 'patience', 'max_detections'])
def test_numbers_are_whole_and_from_one(flag) -> None:
    cfg = Config(dict(train_dataloader=dict(batch_size=1), train_cfg=dict(max_epochs=1), optim_wrapper=dict(a=1)))
    for value in (0, -1, 2.5, True):
        with pytest.raises(InputError, match=f'^--{flag.replace("_", "-")} {value}: a whole number from 1 is wanted$'):
            change(cfg, flags={flag: value}, options=None, launcher='none', notes=[])


@pytest.mark.parametrize(('seed', 'wanted'), [(-1, 'from 0'), (1.5, 'from 0'), (2**32, 'from 0 to 4294967295')])
def test_seeds_are_those_of_numpy(seed, wanted) -> None:
    with pytest.raises(InputError, match=f'^--seed {seed}: a whole number {wanted} is wanted$'):
        changed(seed=seed)
