"""Settings that are refused before the data are looked at."""

import pytest

from mmagg.apis.config import load_config
from mmagg.apis.runner_settings import check_settings
from mmagg.cli.main import COMMANDS, run

HOOKS = 'default_hooks'


@pytest.mark.parametrize(
    'option, line',
    [
        ('log_level=XX', "log_level='XX', where one of CRITICAL, "),
        ('load_from.a=1', "load_from={'a': 1}, where the file of a checkpoint is wanted"),
        ('randomness.seed=-1', 'randomness.seed=-1, where a whole number from 0 to 4294967295 is wanted'),
        ('load_from=7', 'load_from=7, where the file of a checkpoint is wanted'),
        (f'{HOOKS}.logger.interval=0', f'{HOOKS}.logger: ValueError: interval must be greater than 0'),
        (f'{HOOKS}.logger.interval=often', f"{HOOKS}.logger.interval='often': a whole number is wanted"),
        (f'{HOOKS}.checkpoint.interval=1.5', f'{HOOKS}.checkpoint.interval=1.5: a whole number is wanted'),
        ('test_evaluator.metric=masks', "test_evaluator.metric='masks': name one or more of bbox, segm, proposal"),
        ('val_evaluator.metric=[bbox,mask]', "val_evaluator.metric=['bbox', 'mask']: name one or more of"),
        ('val_cfg=None', 'val_cfg is None, but val_dataloader, val_evaluator is not; a validation needs all three'),
        ('val_evaluator=None', 'val_evaluator is None, but val_dataloader, val_cfg is not'),
    ],
)
def test_a_setting_that_mmengine_would_refuse_late_is_a_line(option, line, tiny_config, tmp_path, capsys, monkeypatch):
    for module in ('training', 'testing'):
        monkeypatch.setattr(f'mmagg.apis.{module}.check_data', lambda *_, **__: pytest.fail('the data are looked at'))
    commands = {'test': ['x.pth']} if option.startswith('test_') else {'train': []}
    if option.startswith(('log_level', f'{HOOKS}.logger')):
        commands = {'train': [], 'test': ['x.pth']}
    for command, more in commands.items():
        words = [tiny_config, *more, '--work-dir', tmp_path / 'w', '--cfg-options', option]
        assert run(COMMANDS[command], list(map(str, words))) == 2
        [refusal] = capsys.readouterr().err.splitlines()
        assert refusal.startswith(f'error: config {tiny_config}: {line}')
    assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize(
    'option, said',
    [
        ({'interval': 0}, 'one at the end alone'),
        ({'interval': -1, 'save_last': False}, 'none at all'),
        ({'interval': 1}, ''),
    ],
)
def test_a_training_without_checkpoints_on_the_way_says_so(option, said, tiny_config, capsys):
    cfg = load_config(tiny_config)
    cfg.default_hooks.checkpoint.update(option)
    check_settings(cfg, 'tiny.py', ['train', 'val'])
    note = capsys.readouterr().err
    assert note.endswith(f', {said}\n') if said else not note


@pytest.mark.parametrize(
    'metric, refused',
    [
        (dict(type='COCOInstanceMetric', metric=['boundary', 'segm']), False),
        (dict(type='LVISStarMetric', metric='boundary'), True),
        (dict(type='LVISMetric', metric='segm'), False),
        (dict(type='CityScapesMetric'), False),
        (dict(type='MultiDatasetsEvaluator', metrics=[dict(type='CocoMetric', metric='x')]), True),
    ],
)
def test_measures_of_metrics_are_known(metric, refused, tiny_config):
    cfg = load_config(tiny_config)
    cfg.test_evaluator = metric
    if refused:
        with pytest.raises(ValueError, match=r'test_evaluator.*metric=.*name one or more of'):
            check_settings(cfg, 'tiny.py', ['test'])
    else:
        check_settings(cfg, 'tiny.py', ['test'])


@pytest.mark.parametrize(
    'metric, refused',
    [
        (dict(type='COCOInstanceMetric', metric='bbox'), None),
        (dict(type='COCOInstanceMetric', metric=['bbox', 'boundary']), 'boundary'),
        (dict(type='COCOInstanceMetric'), 'segm'),
        (dict(type='LVISStarMetric'), 'segm'),
        (dict(type='CocoMetric'), None),
        (dict(type='CityScapesMetric'), None),
    ],
)
def test_masks_are_not_measured_where_the_head_has_none(metric, refused, root):
    cfg = load_config(root / 'configs/meinst/fcos_r50_fpn_1x_coco.py')
    check_settings(cfg, 'fcos.py', ['train', 'val', 'test'])
    cfg.val_evaluator = metric
    if refused is None:
        check_settings(cfg, 'fcos.py', ['val'])
    else:
        line = rf'val_evaluator measures {refused}, .*model\.mask_head\.masks is None.*val_evaluator\.metric=bbox$'
        with pytest.raises(ValueError, match=line):
            check_settings(cfg, 'fcos.py', ['val'])
