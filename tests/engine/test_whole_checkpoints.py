"""An old checkpoint goes when the new one is there, and no earlier."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub, MMLogger

from mmagg.engine.whole_checkpoints import WholeCheckpointHook, saved
from mmagg.io.errors import InputError
from mmagg.io.run_folder import noted


class Run(SimpleNamespace):
    """Stands in for a runner; saves the names of the files that are there while it saves."""

    def __init__(self, folder: Path, hub: MessageHub) -> None:
        super().__init__(work_dir=str(folder), message_hub=hub, logger=MMLogger.get_current_instance(), epoch=0, iter=0)
        self.seen, self.fails = {}, ()

    @property
    def files(self) -> set[str]:
        return {path.name for path in Path(self.work_dir).glob('*.pth')}

    def save_checkpoint(self, out_dir: str, filename: str, *args, **kwargs) -> None:
        if filename in self.fails:
            raise InputError('full')
        self.seen[filename] = self.files - {filename}
        (Path(out_dir) / filename).touch()

    def train(self, hook: WholeCheckpointHook, epochs: int, scores: dict[int, dict] | None = None) -> None:
        hook.before_train(self)
        for epoch in range(epochs):
            self.epoch = epoch
            hook._save_checkpoint(self)
            self.epoch += 1
            if scores and self.epoch in scores:
                hook.after_val_epoch(self, scores[self.epoch])


@pytest.fixture
def trained(tmp_path) -> Run:
    return Run(tmp_path, MessageHub(f'hub of {tmp_path}'))


def test_the_old_one_goes_after_the_new_one_is_saved(trained):
    trained.train(WholeCheckpointHook(interval=1, max_keep_ckpts=2), 4)
    assert trained.seen['epoch_4.pth'] == {'epoch_2.pth', 'epoch_3.pth'}
    assert trained.files == {'epoch_3.pth', 'epoch_4.pth'}
    assert noted(Path(trained.work_dir)).name == 'epoch_4.pth'


def test_the_old_one_stays_when_saving_fails(trained):
    trained.fails = ('epoch_3.pth', 'best_coco_mAP_epoch_3.pth')
    with pytest.raises(InputError):
        trained.train(WholeCheckpointHook(interval=1, max_keep_ckpts=1), 4)
    assert trained.files == {'epoch_2.pth'}
    assert noted(Path(trained.work_dir)).name == 'epoch_2.pth'


def test_what_a_kill_left_is_deleted_when_resumed(trained, tmp_path):
    hook = WholeCheckpointHook(interval=1, max_keep_ckpts=1)
    trained.train(hook, 2)
    (tmp_path / 'epoch_1.pth').touch()  # killed before it was deleted
    again = WholeCheckpointHook(interval=1, max_keep_ckpts=1)
    again.before_train(trained)
    assert trained.files == {'epoch_2.pth'}


@pytest.mark.parametrize('keys', [['coco/mAP'], ['coco/mAP', 'coco/AR@1']])
def test_so_does_the_best_one(keys, trained):
    scores = {epoch: dict.fromkeys(keys, value) for epoch, value in ((1, 0.1), (2, 0.3), (3, 0.2))}
    trained.train(WholeCheckpointHook(interval=1, max_keep_ckpts=1, save_best=keys), 3, scores)
    best = {f'best_{key.replace("/", "_")}_epoch_2.pth' for key in keys}
    assert trained.files == {'epoch_3.pth', *best}
    assert trained.seen['best_coco_mAP_epoch_2.pth'] >= {'epoch_2.pth', 'best_coco_mAP_epoch_1.pth'}


def test_the_best_one_of_another_run_is_not_touched(trained, tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'best_coco_mAP_epoch_9.pth').touch()
    trained.message_hub.update_info('best_ckpt', str(other / 'best_coco_mAP_epoch_9.pth'))
    trained.message_hub.update_info('best_score', 0.1)
    trained.train(WholeCheckpointHook(interval=1, save_best='coco/mAP'), 1, {1: {'coco/mAP': 0.5}})
    assert (other / 'best_coco_mAP_epoch_9.pth').is_file()
    assert 'best_coco_mAP_epoch_1.pth' in trained.files


def test_what_is_no_best_one_is_not_deleted(trained, tmp_path):
    (tmp_path / 'curves.csv').touch()
    trained.message_hub.update_info('best_ckpt', '/x/curves.csv')
    trained.message_hub.update_info('best_score', 0.1)
    trained.train(WholeCheckpointHook(interval=1, save_best='coco/mAP'), 1, {1: {'coco/mAP': 0.5}})
    assert (tmp_path / 'curves.csv').is_file()


def test_the_best_one_of_a_moved_run_is_replaced(trained, tmp_path):
    (tmp_path / 'best_coco_mAP_epoch_9.pth').touch()
    trained.message_hub.update_info('best_ckpt', '/before/best_coco_mAP_epoch_9.pth')
    trained.message_hub.update_info('best_score', 0.1)
    trained.train(WholeCheckpointHook(interval=1, save_best='coco/mAP'), 1, {1: {'coco/mAP': 0.5}})
    assert trained.files == {'epoch_1.pth', 'best_coco_mAP_epoch_1.pth'}


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.write_text('old')
    with pytest.raises(InputError, match=r'epoch_1\.pth: not saved \(No space left on device\)'):
        half_saved(path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [('epoch_1.pth', 'old')]


def half_saved(path: Path) -> None:
    """Writes a part of a file to a disk that is full then."""
    with saved(path) as temporary:
        temporary.write_text('ne')
        raise OSError(errno.ENOSPC, 'No space left on device')
