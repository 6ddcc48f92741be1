"""Sheets of validations: which images, what is drawn, and that a training does not depend on them."""

from types import SimpleNamespace

import numpy as np
import torch
from mmengine.structures import InstanceData

from mmagg.engine.validation_sheets import ROOM, ValidationSheetHook, _small
from mmagg.io.images import write_image

INSTANCES = [
    {'bbox': [0, 0, 400, 300], 'bbox_label': 0, 'mask': [[0, 0, 400, 0, 400, 300, 0, 300]]},
    {'bbox': [500, 0, 600, 100], 'bbox_label': 1, 'mask': [[500, 0, 600, 0, 600, 100, 500, 100]], 'ignore_flag': 1},
]


def test_large_images_are_shrunk_with_their_masks() -> None:
    small = _small(np.zeros((1600, 2100, 3), np.uint8), INSTANCES)
    assert small.image.shape[:2] == ROOM
    assert small.boxes.tolist() == [[0, 0, 80, 60]]
    assert small.masks.sum() == 80 * 60
    assert small.ignored.shape == (1, *ROOM)
    without = _small(np.zeros((8, 8, 3), np.uint8), [{'bbox': [0, 0, 4, 4], 'bbox_label': 0}])
    assert without.masks is None


def runner(tmp_path, batches: int) -> SimpleNamespace:
    said = []
    content = {
        'metainfo': dict(classes=('a', 'b')),
        'get_data_info': lambda _, i: {'img_id': i, 'instances': INSTANCES},
        '__len__': lambda _: batches,
    }
    dataset = type('Data', (), content)()
    loader = type('Loader', (), {'dataset': dataset, '__len__': lambda _: batches})()
    return SimpleNamespace(
        val_dataloader=loader,
        train_loop=None,
        iter=7,
        work_dir=str(tmp_path),
        logger=SimpleNamespace(warning=said.append),
        said=said,
    )


def sample(tmp_path, number: int) -> SimpleNamespace:
    path = write_image(np.full((40, 60, 3), 100, np.uint8), tmp_path / f'{number}.png')
    found = InstanceData(
        scores=torch.tensor([0.9, 0.1]),
        labels=torch.tensor([0, 1]),
        bboxes=torch.tensor([[0.0, 0, 9, 9], [0, 0, 30, 30]]),
        masks=torch.ones(2, 40, 60, dtype=torch.bool),
    )
    return SimpleNamespace(img_id=number, img_path=str(path), pred_instances=found)


def test_the_same_images_each_time_evenly_spread(tmp_path) -> None:
    hook, run = ValidationSheetHook(images=3), runner(tmp_path, 9)
    for _ in range(2):
        hook.before_val_epoch(run)
        assert hook.batches == {0, 4, 8}
        for number in range(9):
            hook.after_val_iter(run, number, outputs=[sample(tmp_path, number)])
        assert len(hook.pairs) == 3
        hook.after_val_epoch(run)
    assert [path.name for path in (tmp_path / 'validation').iterdir()] == ['iter_7.jpg']


def test_a_picture_that_fails_is_a_line_once(tmp_path) -> None:
    hook, run = ValidationSheetHook(), runner(tmp_path, 2)
    for _ in range(2):
        hook.before_val_epoch(run)
        for number in range(2):
            hook.after_val_iter(run, number, outputs=[SimpleNamespace(img_id=0, img_path='no.png')])
        hook.after_val_epoch(run)
    (line,) = run.said
    assert line.startswith('no pictures of validations: ')
    assert not (tmp_path / 'validation').exists()


def test_none_are_drawn_of_no_images(tmp_path) -> None:
    hook, run = ValidationSheetHook(images=0), runner(tmp_path, 2)
    hook.before_val_epoch(run)
    hook.after_val_iter(run, 0, outputs=[sample(tmp_path, 0)])
    assert hook.pairs == []
