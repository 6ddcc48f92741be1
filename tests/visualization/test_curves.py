"""Curves of a training that was interrupted and resumed."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmagg.visualization.curves import WIDTHS, plot_curves, read_scalars


def _train(step: int, loss: float) -> dict:
    return {'lr': 0.1, 'loss': loss, 'loss_mask': loss / 2, 'epoch': 1 + (step - 1) // 10, 'iter': step, 'step': step}


def _val(epoch: int, ap: float) -> dict:
    return {'coco/bbox_mAP': ap, 'coco/segm_mAP': ap, 'coco/segm_mAP_50': ap, 'coco/segm_mAP_l': -1.0, 'step': epoch}


@pytest.fixture
def resumed(tmp_path: Path) -> Path:
    """Killed at iteration 18 while writing a line; went on from epoch 1, that is iteration 10."""
    starts = {
        '20240101_000000': [_train(5, 4.0), _train(10, 3.0), _val(1, 0.1), _train(15, 9.0)],
        '20240101_000100': [_train(15, 2.5), _train(20, 2.0), _val(2, 0.3)],
    }
    for name, lines in starts.items():
        path = tmp_path / name / 'vis_data' / 'scalars.json'
        path.parent.mkdir(parents=True)
        path.write_text('\n'.join(map(json.dumps, lines)) + '\n')
    first = tmp_path / '20240101_000000/vis_data/scalars.json'
    first.write_text(first.read_text() + '{"lr": 0.1, "lo')
    return tmp_path


def test_what_was_lost_with_the_interruption_is_left_out(resumed):
    records = read_scalars(resumed)
    assert [(r['kind'], r['iter'], r.get('loss', r.get('coco/segm_mAP'))) for r in records] == [
        ('train', 5, 4.0),
        ('train', 10, 3.0),
        ('val', 10, 0.1),
        ('train', 15, 2.5),
        ('train', 20, 2.0),
        ('val', 20, 0.3),
    ]


@pytest.mark.parametrize('resumes, kept', [(True, 6), (False, 3)])
def test_a_new_start_in_the_same_folder_begins_anew(resumed, resumes: bool, kept: int):
    for start in resumed.iterdir():
        (start / 'vis_data/config.py').write_text(f'other = 1\nresume = {resumes}\n')
    assert len(read_scalars(resumed)) == kept


def test_a_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f'{tmp_path}: no training log'):
        read_scalars(tmp_path)


def _coloured(records: list[dict], path: Path) -> tuple[int, int]:
    """The numbers of coloured pixels, those of curves, in the panel of the losses and in that of the AP."""
    plot_curves(records, path)
    coloured = np.ptp(cv2.imread(str(path)).astype(int), axis=2) > 50
    end = coloured.shape[1] * WIDTHS[0] // sum(WIDTHS)
    return int(coloured[:, :end].sum()), int(coloured[:, end:].sum())


def test_each_panel_shows_its_curves_if_there_are_any(resumed, tmp_path):
    records = read_scalars(resumed)
    train = [record for record in records if record['kind'] == 'train']
    val = [record for record in records if record['kind'] == 'val']
    path = tmp_path / 'curves.png'
    for shown, panels in ((records, [True, True]), (train, [True, False]), (val, [False, True]), ([], [False, False])):
        assert [pixels > 0 for pixels in _coloured(shown, path)] == panels


def test_validation_losses_stand_at_their_iteration(resumed, tmp_path):
    """mmengine's own validation records say their epoch only."""
    path = resumed / '20240101_000100/vis_data/scalars.json'
    lines = [{'val/loss': 3.0, 'val/loss_mask': 1.0, 'iter': n, 'step': n} for n in (18, 23)]
    path.write_text(path.read_text() + '\n'.join(map(json.dumps, lines)) + '\n')
    records = read_scalars(resumed)
    assert [(r['kind'], r['iter'], r['val/loss']) for r in records[-2:]] == [('val', 18, 3.0), ('val', 23, 3.0)]
    without, _ = _coloured([r for r in records if 'val/loss' not in r], tmp_path / 'without.png')
    dashed, _ = _coloured(records, tmp_path / 'with.png')
    assert dashed > without + 100


def test_rate_and_gradients_have_a_panel(resumed, tmp_path):
    records = [{**r, 'grad_norm': 1.0} if r['kind'] == 'train' else r for r in read_scalars(resumed)]
    pictures = []
    for name, left_out in (('with', ()), ('without', ('grad_norm', 'lr'))):
        path = tmp_path / f'{name}.png'
        plot_curves([{k: v for k, v in r.items() if k not in left_out} for r in records], path)
        pictures.append(cv2.imread(str(path)))
    height, width = pictures[0].shape[:2]
    changed = (pictures[0] != pictures[1]).any(-1)[:, width * sum(WIDTHS[:2]) // sum(WIDTHS) :]
    assert changed[: height // 2].any()
    assert changed[height // 2 :].any()
