"""Options for helper variables of config files: refused, with the keys that would have had the effect."""

import ast
import re
from pathlib import Path

import mmdet
import mmengine.runner
import pytest
from mmengine.config import Config

from mmagg.apis.config import load_config
from mmagg.apis.config_options import check_options
from mmagg.apis.helper_variables import READ_KEYS, refuse_helper
from mmagg.io.errors import InputError

SET = re.compile(r'; set (.*?)(?: … \((\d+) keys\))?$')


def instead(cfg: Config, key: str) -> list[str]:
    """The keys that a refusal names."""
    with pytest.raises(InputError, match='helper variable of the config file and has been used already') as caught:
        check_options(cfg, {key: 1})
    return SET.search(str(caught.value))[1].split(', ')


@pytest.mark.parametrize(
    'config, key, keys',
    [
        ('demo/solo_tiny_fit.py', 'max_epochs', ['train_cfg.max_epochs', 'param_scheduler.1.end']),
        (
            'demo/solo_tiny_fit.py',
            'size',
            [f'{stage}_dataloader.dataset.pipeline.{n}.scale' for stage, n in (('train', 2), ('val', 1), ('test', 1))],
        ),
        ('demo/solo_tiny_fit.py', 'train_pipeline.0.type', ['train_dataloader.dataset.pipeline.0.type']),
        (  # no place is equal to it any more
            'demo/solo_tiny_fit.py',
            'dataset.data_root',
            [f'{stage}_dataloader.dataset.data_root' for stage in ('train', 'val', 'test')],
        ),
        ('demo/solo_tiny_fit.py', 'vis_backends', ['visualizer.vis_backends']),
        (  # paths below it as well, four at most
            'solo/solo_r50_fpn_1x_coco.py',
            'data_root',
            [
                *(f'{stage}_dataloader.dataset.data_root' for stage in ('train', 'val', 'test')),
                'val_evaluator.ann_file',
            ],
        ),
        ('mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py', 'base_lr', ['optim_wrapper.optimizer.lr']),
        (
            'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
            'data_preprocessor.mean',
            ['model.data_preprocessor.mean'],
        ),
    ],
)
def test_the_keys_to_set_are_named(root: Path, config: str, key: str, keys: list[str]) -> None:
    assert instead(load_config(config if '::' in config else root / 'configs' / config), key) == keys


def test_what_is_used_nowhere_and_common_values() -> None:
    cfg = {'model': {'channels': 256, 'sizes': [256], 'a': None}, 'width': 256, 'none': None, 'train_cfg': {'n': 256}}
    with pytest.raises(InputError, match=r'set train_cfg\.n$'):  # not the model's, which are channels
        refuse_helper('width', cfg)
    with pytest.raises(InputError, match='set it in the file itself'):
        refuse_helper('none', cfg)
    refuse_helper('new', cfg)
    cfg = {'epochs': 1, 'default_hooks': {'interval': 1}, 'train_dataloader': {'batch_size': 1}}
    cfg |= {'val_dataloader': {'num_workers': 1}, 'train_cfg': {'val_interval': 1, 'max_epochs': 1}}
    with pytest.raises(InputError, match=r'set train_cfg\.max_epochs, '):  # the most similar name is first
        refuse_helper('epochs', cfg)


def test_every_key_of_the_shipped_configs_is_read_or_refused(root: Path) -> None:
    """Read means that mmengine's Runner, mmdet or mmagg fetches it from the config by its name."""
    lines = [line for path in (root / 'configs').rglob('*.py') for line in ast.parse(path.read_text()).body]
    assigned = [target for line in lines if isinstance(line, ast.Assign) for target in line.targets]
    names = {target.id for target in assigned if isinstance(target, ast.Name)}
    for config in ('solo/solo_r50_fpn_1x_coco.py', 'a2fpn/mask-rcnn_r50_fpn_1x_coco.py', 'demo/solo_tiny_fit.py'):
        names |= {*load_config(root / 'configs' / config)}  # those of mmdet's bases, too
    refused, accepted = set(), set()
    for name in names - {'_base_'}:
        try:
            refuse_helper(name, {'model': {}, name: {}})
            accepted.add(name)
        except InputError:
            refused.add(name)
    folders = Path(mmengine.runner.__file__).parent, Path(mmdet.__file__).parent / 'apis'
    code = '\n'.join(path.read_text() for folder in folders for path in folder.glob('*.py'))
    fetched = set(re.findall(r"\bcfg\.get\(\s*'(\w+)'|\bconfig\.(\w+)", code))
    fetched = {name for pair in fetched for name in pair if name}
    by_us = {'custom_imports', 'tta_model', 'tta_pipeline'}  # `load_config` and --tta
    assert {'train_dataloader', 'test_evaluator', 'default_hooks', 'visualizer', 'model'} < accepted
    assert {'max_epochs', 'size', 'data_root', 'train_pipeline', 'vis_backends', 'backend_args', 'dataset'} < refused
    assert accepted <= fetched | by_us
    assert not refused & (fetched - {'data_preprocessor'})
    assert not refused & READ_KEYS
