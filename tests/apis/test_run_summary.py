"""What a training has come to."""

import json
from pathlib import Path

import pytest

from mmagg.apis.run_summary import run_summary

NAME = 'coco/segm_mAP'


def ran(work_dir: Path, scores: dict[int, float], best: int) -> Path:
    """What a training of some validations leaves; returns its config."""
    records = work_dir / '20260101_000000/vis_data'
    records.mkdir(parents=True)
    lines = [json.dumps({NAME: score, 'step': step}) for step, score in scores.items()]
    (records / 'scalars.json').write_text('\n'.join(lines))
    last = work_dir / f'epoch_{max(scores)}.pth'
    for path in (last, work_dir / f'best_coco_segm_mAP_epoch_{best}.pth'):
        path.touch()
    (work_dir / 'last_checkpoint').write_text(str(last))
    config = work_dir / 'tiny.py'
    config.write_text(
        f'train_cfg = dict(max_epochs={max(scores)})\ndefault_hooks = dict(checkpoint=dict(save_best={NAME!r}))'
    )
    return config


def test_the_best_epoch_is_named(tmp_path: Path) -> None:
    found = run_summary(tmp_path, ran(tmp_path, {1: 0.1, 2: 0.3, 3: 0.2}, best=2))
    assert found.checkpoint.name == 'best_coco_segm_mAP_epoch_2.pth'
    assert str(found).splitlines()[0] == 'best: coco/segm_mAP 0.300 at epoch 2, the last is epoch 3'


@pytest.mark.parametrize('score', [0.0, 0.0004])
def test_a_run_that_finds_nothing_is_said_and_its_last_epoch_named(tmp_path: Path, score: float) -> None:
    found = run_summary(tmp_path, ran(tmp_path, {1: score, 2: 0.0, 3: 0.0}, best=1))
    assert found.checkpoint.name == 'epoch_3.pth'
    assert str(found).splitlines()[0] == (
        'nothing found yet: coco/segm_mAP 0.000 at best, the last is epoch 3; train longer (--epochs N, above 3)'
    )


@pytest.mark.parametrize(('validated', 'said'), [('train', True), ('val', False)])
def test_scores_of_the_training_images_are_called_so(tmp_path: Path, validated: str, said: bool) -> None:
    config = ran(tmp_path, {1: 0.1, 2: 0.3}, best=2)
    dataset = "dict(dataset=dict(data_root='mine', ann_file='annotations/instances_{}.json'))"
    loaders = {'train_dataloader': dataset.format('train'), 'val_dataloader': dataset.format(validated)}
    config.write_text('\n'.join([config.read_text(), *(f'{key} = {value}' for key, value in loaders.items())]))
    second = str(run_summary(tmp_path, config)).splitlines()[1]
    assert second.startswith('these are scores of the training images') == said
