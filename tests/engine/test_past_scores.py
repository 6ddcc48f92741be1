"""Scores of past validations, and what is done with them after a resume."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.runner import EpochBasedTrainLoop

from mmagg.engine.early_stopping import ResumedEarlyStoppingHook
from mmagg.engine.past_scores import past_scores, step_of

NAME = 'coco/segm_mAP'


def start(work_dir: Path, time: str, scores: dict[int, float], *, resumed: bool = True) -> None:
    """What a start of a training leaves."""
    folder = work_dir / time / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'config.py').write_text(f'resume = {resumed}\n')
    lines = [{'loss': 1.0, 'step': 1}, *({NAME: score, 'step': step} for step, score in scores.items())]
    (folder / 'scalars.json').write_text(''.join(f'{json.dumps(line)}\n' for line in lines))


def test_the_last_start_that_has_seen_a_validation_counts(tmp_path: Path) -> None:
    start(tmp_path, '1', {1: 0.9}, resumed=False)
    start(tmp_path, '2', {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}, resumed=False)
    assert past_scores(tmp_path, NAME) == {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}
    start(tmp_path, '3', {3: 0.5})  # from epoch 2
    start(tmp_path, '4', {})  # killed before its first
    assert past_scores(tmp_path, NAME) == {1: 0.1, 2: 0.2, 3: 0.5}
    assert past_scores(tmp_path, 'coco/bbox_mAP') == {}


@pytest.mark.parametrize(('name', 'step'), [('epoch_3.pth', 3), ('best_a_iter_20.pth', 20), ('model.pth', None)])
def test_steps_in_names(name: str, step: int | None) -> None:
    assert step_of(name) == step


@pytest.mark.parametrize(('epoch', 'wait', 'ended'), [(2, 0, False), (3, 1, False), (4, 2, True)])
def test_patience_goes_on_where_the_checkpoint_is(tmp_path: Path, epoch: int, wait: int, ended: bool) -> None:
    start(tmp_path, '1', {1: 0.1, 2: 0.3, 3: 0.3, 4: 0.2, 5: 0.9}, resumed=False)
    hook, runner = resumed(tmp_path, epoch)
    hook.before_train(runner)
    assert (hook.wait_count, runner.train_loop.stop_training) == (wait, ended)


@pytest.mark.parametrize(('epoch', 'wait', 'ended'), [(4, 0, False), (5, 0, False), (6, 1, False), (7, 2, True)])
def test_patience_begins_when_something_is_found(tmp_path: Path, epoch: int, wait: int, ended: bool) -> None:
    start(tmp_path, '1', {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 0.1, 6: 0.0, 7: 0.0}, resumed=False)
    hook, runner = resumed(tmp_path, epoch)
    hook.before_train(runner)
    assert (hook.wait_count, runner.train_loop.stop_training) == (wait, ended)


def resumed(work_dir: Path, epoch: int) -> tuple[ResumedEarlyStoppingHook, SimpleNamespace]:
    """The hook, and a runner that goes on in another folder after an epoch."""
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop.stop_training = False
    runner = SimpleNamespace(
        _resume=True,
        _load_from=str(work_dir / f'epoch_{epoch}.pth'),
        work_dir=str(work_dir / 'other'),
        epoch=epoch,
        train_loop=loop,
        hooks=[],
        logger=SimpleNamespace(info=lambda _: None),
    )
    return ResumedEarlyStoppingHook(monitor=NAME, patience=2, min_delta=0.0005), runner
