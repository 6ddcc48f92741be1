"""Names of scores in configs, looked up before a training."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmagg.apis.config import load_config
from mmagg.apis.watched_scores import check_watched_scores
from mmagg.evaluation.coco_instance_metric import COCOInstanceMetric
from mmagg.io.errors import InputError

BEST = 'default_hooks.checkpoint.save_best'
STOP = {'custom_hooks': [dict(type='EarlyStoppingHook', monitor='segm_mAP')]}
PLATEAU = {'param_scheduler': [dict(type='ReduceOnPlateauLR', monitor='mAP')]}


@pytest.fixture
def demo(root: Path) -> Path:
    return root / 'configs/demo/solo_tiny_shapes.py'


def check(config: Path, options: dict, *, val_loss: bool = False) -> Config:
    cfg = load_config(config, options)
    check_watched_scores(cfg, 'a.py', val_loss=val_loss)
    return cfg


@pytest.mark.parametrize(
    'options',
    [
        {},
        {BEST: 'auto'},
        {BEST: ['coco/segm_mAP', 'coco/bbox_mAP_50']},
        {'custom_hooks': [dict(type='EarlyStoppingHook', monitor='coco/segm_AR@100')]},
        {'param_scheduler': [dict(type='ReduceOnPlateauLR', monitor='coco/segm_mAP', rule='greater')]},
        {BEST: 'mine/boundary_mAP', 'val_evaluator.metric': 'boundary', 'val_evaluator.prefix': 'mine'},
        {BEST: 'circle', 'val_evaluator.classwise': True},  # names of classes are in the data
        {BEST: 'anything', 'val_evaluator': [dict(type='LVISMetric'), dict(type='COCOInstanceMetric')]},
        {BEST: 'circle', 'val_evaluator': dict(type='CocoMetric', classwise=True)},
        {BEST: 'coco/bbox_mAP_s', 'val_evaluator': dict(type='CocoMetric', metric=['bbox', 'segm'])},
    ],
)
def test_names_that_are_there_or_unknown_pass(options: dict, demo: Path) -> None:
    check(demo, options)


@pytest.mark.parametrize(
    'options, message',
    [
        (
            {BEST: 'segm_mAP'},
            r"checkpoint\.save_best='segm_mAP': no score .*did you mean coco/segm_mAP\?\); there are c",
        ),
        ({BEST: ['coco/segm_mAP', 'coco/bbox_map']}, r"'coco/bbox_map': .*did you mean coco/bbox_mAP "),
        ({BEST: 'coco/bbox_mAP', 'val_evaluator.metric': 'segm'}, "'coco/bbox_mAP': no score"),
        ({BEST: 'segm_mAP', 'val_evaluator': dict(type='CocoMetric', metric='segm')}, 'mean coco/segm_mAP'),
        (
            {BEST: 'coco/segm_mAP', 'val_evaluator': dict(type='CocoMetric', metric='bbox')},
            'did you mean coco/bbox_mAP',
        ),
        (STOP, r"custom_hooks\.0\.monitor='segm_mAP'.*mean coco/segm_mAP"),
        (PLATEAU, r"param_scheduler\.0\.monitor='mAP'"),
        ({'param_scheduler': [dict(type='ReduceOnPlateauLR')]}, r"param_scheduler\.0\.monitor='loss'"),
        ({BEST: 'val/loss'}, '--val-loss adds those'),
    ],
)
def test_names_that_are_not_there_are_refused(options: dict, message: str, demo: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check(demo, options)
    assert '\n' not in str(caught.value)


def test_losses_of_the_validation(demo: Path) -> None:
    check(demo, {BEST: 'val/loss'}, val_loss=True)
    check(demo, {BEST: 'val/loss', 'custom_hooks': [dict(type='ValidationLossHook')]})


@pytest.mark.parametrize('options', [{BEST: 'auto'}, STOP, PLATEAU], ids=['best', 'stop', 'plateau'])
def test_without_a_validation_there_is_no_score(options: dict, demo: Path) -> None:
    with pytest.raises(InputError, match=r'config a\.py has no validation'):
        check(demo, {**options, 'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None})


def test_names_are_those_of_the_scores(shapes_folder: Path) -> None:
    arguments = dict(metric=['bbox', 'boundary'], prefix='x')
    metric = COCOInstanceMetric(ann_file=shapes_folder / 'annotations/instances_val.json', **arguments)
    metric.dataset_meta = {}
    scores = metric.compute_metrics([])
    assert [f'x/{name}' for name in scores] == COCOInstanceMetric.score_names(ann_file='', **arguments)
