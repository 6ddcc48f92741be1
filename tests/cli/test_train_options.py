"""The flags that change a training's config, as a user types them."""

import re
import shlex
import shutil
from copy import deepcopy
from pathlib import Path

import cv2
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, HOOKS
from mmengine.config import Config
from mmengine.hooks import EarlyStoppingHook, EMAHook

from mmagg.apis import testing
from mmagg.apis.checkpoint import load_checkpoint, secure_loading
from mmagg.cli.main import COMMANDS, run
from mmagg.engine.past_scores import past_scores

EPOCHS = """
_base_ = {base!r}
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=4, val_interval=1)
train_dataloader = dict(batch_size=1)
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
"""
FLAGS = shlex.split(
    '--epochs 2 --batch-size 2 --accumulate 2 --ema --patience 9 --workers 0 --short-side 48 --class-balanced'
)
KEPT = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')


@pytest.fixture(scope='module')
def by_epochs(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny config, which counts epochs."""
    file = tmp_path_factory.mktemp('by_epochs') / 'tiny.py'
    file.write_text(EPOCHS.format(base=str(tiny_config)))
    return file


@pytest.fixture(scope='module')
def flagged(by_epochs: Path, shapes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dir of a training with all flags; not to be changed."""
    work_dir = tmp_path_factory.mktemp('flagged')
    assert typed(by_epochs, shapes_folder, work_dir, *FLAGS, '--val-images', '2', '--seed', '1') == 0
    return work_dir


def typed(config: Path, data: Path, work_dir: Path, *words: object) -> int:
    given = [config, '--coco', data, '--work-dir', work_dir, '--skip-check', *words]
    return run(COMMANDS['train'], [*map(str, given)])


def read(checkpoint: Path) -> dict:
    secure_loading()
    return load_checkpoint(checkpoint)


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return all(map(same, one, other)) if isinstance(one, list | tuple) else one == other


def test_the_saved_config_is_mmdets_and_says_all_that_the_flags_set(flagged: Path) -> None:
    cfg = Config.fromfile(flagged / 'tiny.py')
    assert 'mmagg' not in cfg.text
    assert (cfg.train_cfg.max_epochs, cfg.optim_wrapper.accumulative_counts) == (2, 2)
    assert (cfg.train_dataloader.batch_size, cfg.train_dataloader.num_workers) == (2, 0)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.01 * 4 / 16)
    assert cfg.default_hooks.checkpoint.save_best == 'coco/segm_mAP'
    assert [type(HOOKS.build(hook)) for hook in cfg.custom_hooks] == [EMAHook, EarlyStoppingHook]
    data = DATASETS.build(cfg.train_dataloader.dataset)
    assert type(data).__name__ == 'ClassBalancedDataset'
    assert max(data[0]['inputs'].shape[1:]) == 48


def test_a_resumed_training_with_flags_is_the_one_that_runs_through(
    flagged: Path, by_epochs: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    assert typed(by_epochs, shapes_folder, tmp_path, *FLAGS, '--resume', flagged / 'epoch_1.pth') == 0
    whole, resumed = (read(folder / 'epoch_2.pth') for folder in (flagged, tmp_path))
    assert all(same(whole[key], resumed[key]) for key in KEPT)


def test_a_finished_training_goes_on_with_more_epochs(
    flagged: Path, by_epochs: Path, shapes_folder: Path, tmp_path: Path, capsys
) -> None:
    work_dir = tmp_path / 'run'
    shutil.copytree(flagged, work_dir)
    assert typed(by_epochs, shapes_folder, work_dir, *FLAGS, '--resume') == 0
    assert 'nothing to do; to go on: --epochs N, above 2, which moves the schedules' in capsys.readouterr().out
    assert typed(by_epochs, shapes_folder, work_dir, *FLAGS, '--resume', '--epochs', '3') == 0
    assert (work_dir / 'epoch_3.pth').is_file()


def test_a_resumed_training_says_that_it_takes_no_other_weights(
    flagged: Path, by_epochs: Path, shapes_folder: Path, tmp_path: Path, capsys
) -> None:
    first, last = flagged / 'epoch_1.pth', flagged / 'epoch_2.pth'
    typed(by_epochs, shapes_folder, tmp_path, *FLAGS, '--resume', last, '--weights', first)  # nothing is left to train
    assert f'note: --weights {first}: left out, as the training goes on from {last}' in capsys.readouterr().err


def test_the_averaged_weights_are_those_that_checkpoints_are_tested_with(flagged: Path, capsys, monkeypatch) -> None:
    last = read(flagged / 'epoch_2.pth')
    averages, weights = last['state_dict'], last['ema_state_dict']  # mmengine swaps them
    assert any(not torch.equal(averages[key], weights[f'module.{key}']) for key in averages)
    (best,) = flagged.glob('best_coco_segm_mAP_epoch_*.pth')
    scores = past_scores(flagged, 'coco/segm_mAP')
    step = int(re.search(r'(\d+)\.pth', best.name)[1])
    assert scores[step] == max(scores.values())
    assert same(read(best)['state_dict'], read(flagged / f'epoch_{step}.pth')['state_dict'])
    tested: list[dict] = []
    monkeypatch.setattr(testing, 'for_inference', lambda model: tested.append(deepcopy(model.state_dict())))
    assert run(COMMANDS['test'], [str(flagged / 'tiny.py'), str(best)]) == 0
    assert same(tested[0], read(best)['state_dict'])
    printed = dict(re.findall(r'(coco/\S+) +(\S+)', capsys.readouterr().out))
    assert float(printed['coco/segm_mAP']) == pytest.approx(scores[step], abs=1e-3)


def test_sheets_of_truth_beside_prediction(flagged: Path) -> None:
    sheets = sorted(path.name for path in (flagged / 'validation').iterdir())
    assert sheets == ['epoch_1.jpg', 'epoch_2.jpg']
    picture = cv2.imread(str(flagged / 'validation/epoch_2.jpg'))
    assert picture.shape[1] > 2 * 64  # two pairs side by side
    assert picture.std() > 10


def test_the_end_sums_up_and_names_commands_that_run(
    by_epochs: Path, shapes_folder: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    """No validation is better than the first, so patience ends the training."""
    monkeypatch.setattr(CocoMetric, 'compute_metrics', lambda self, results: {'segm_mAP': 0.1})
    still = ['--patience', '1', '--val-images', '0', '--cfg-options', 'optim_wrapper.optimizer.lr=0.0']
    assert (
        typed(by_epochs, shapes_folder, tmp_path, '--no-save-best', *still, 'default_hooks.checkpoint.interval=3') == 0
    )
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['epoch_2.pth']  # where it ended
    assert not (tmp_path / 'validation').exists()
    lines = dict(line.split(': ', 1) for line in capsys.readouterr().out.splitlines()[-5:])
    assert lines['checkpoint'] == str(tmp_path / 'epoch_2.pth')
    assert lines['curves'] == str(tmp_path / 'curves.png')
    words = shlex.split(lines['predict'])
    assert run(COMMANDS['demo'], words[words.index('demo') + 1 :] if 'demo' in words else words[2:]) == 0
    words = shlex.split(lines['next'])
    assert run(COMMANDS['test'], words[words.index('test') + 1 :] if 'test' in words else words[2:]) == 0
    capsys.readouterr()
    assert typed(by_epochs, shapes_folder, tmp_path, '--no-save-best', '--resume', *still) == 0  # and stays ended
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['epoch_2.pth']


@pytest.mark.parametrize(
    ('words', 'line'),
    [
        (
            ['--patience', '3', '--cfg-options', 'val_cfg=None', 'val_evaluator=None', 'val_dataloader=None'],
            'validation',
        ),
        (['--freeze', '9'], 'the backbone has 4 stages'),
        (['--logger', 'mlflow'], 'pip install mlflow'),
    ],
)
def test_contradictions_are_a_line(words, line, by_epochs: Path, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    assert typed(by_epochs, shapes_folder, tmp_path / 'none', *words) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f'error: {words[0]}')
    assert line in error
    assert not (tmp_path / 'none').exists()
