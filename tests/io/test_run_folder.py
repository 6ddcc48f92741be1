"""What a training leaves in its work dir, and what is resumed of it."""

import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from mmagg.io.errors import InputError
from mmagg.io.run_folder import being_replaced, checkpoints, newest_whole, noted, remove_run


def whole(path: Path) -> Path:
    """A file as PyTorch writes it: a zip."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('data.pkl', 'weights' * 100)
    return path


def half(path: Path) -> Path:
    """The first half of one."""
    content = whole(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def test_nothing_was_trained_in_an_empty_or_missing_folder(tmp_path):
    assert newest_whole(tmp_path) == (None, [])
    assert newest_whole(tmp_path / 'none') == (None, [])
    assert checkpoints(tmp_path / 'none') == []


def test_the_note_decides(tmp_path):
    epochs = [whole(tmp_path / f'epoch_{n}.pth') for n in (2, 9, 10)]
    (tmp_path / 'last_checkpoint').write_text(str(epochs[1]))
    assert newest_whole(tmp_path) == (epochs[1], [])


@pytest.mark.parametrize('note', [None, b'', b'\xff\x00', b'/gone/epoch_11.pth'])
def test_without_a_note_that_holds_the_highest_number_does(note, tmp_path):
    epochs = [whole(tmp_path / f'epoch_{n}.pth') for n in (2, 9, 10)]
    whole(tmp_path / 'best_coco_segm_mAP_epoch_12.pth')  # holds no optimizer
    if note is not None:
        (tmp_path / 'last_checkpoint').write_bytes(note)
    path, skipped = newest_whole(tmp_path)
    assert path == epochs[2]
    gone = [f'{tmp_path}/last_checkpoint names /gone/epoch_11.pth, which is not there']
    assert skipped == (gone if note and b'gone' in note else [])


def test_a_note_with_a_zero_byte_names_nothing(tmp_path):
    (tmp_path / 'last_checkpoint').write_bytes(b'/gone\0/epoch_11.pth')
    assert noted(tmp_path) is None


def test_broken_ones_are_skipped_with_a_word(tmp_path):
    good = whole(tmp_path / 'iter_100.pth')
    broken = half(tmp_path / 'iter_300.pth')
    damaged = whole(tmp_path / 'iter_200.pth')
    damaged.write_bytes(damaged.read_bytes().replace(b'weights', b'wrights', 1))
    (tmp_path / 'last_checkpoint').write_text(str(broken))
    assert newest_whole(tmp_path) == (good, [f'{broken} is not whole', f'{damaged} is damaged'])


def test_a_moved_or_copied_folder_has_its_own(tmp_path):
    old, new = tmp_path / 'old', tmp_path / 'new'
    for folder in (old, new):
        folder.mkdir()
        whole(folder / 'epoch_3.pth')
    (new / 'last_checkpoint').write_text(str(old / 'epoch_3.pth'))
    assert newest_whole(new)[0] == new / 'epoch_3.pth'
    (new / 'epoch_3.pth').unlink()
    assert newest_whole(new)[0] == old / 'epoch_3.pth'  # as with the config's `out_dir`
    remove_run(new)
    assert (old / 'epoch_3.pth').is_file()
    assert not (new / 'last_checkpoint').exists()


def test_checkpoints_elsewhere_are_found_by_the_note(tmp_path):
    """The config's CheckpointHook may have an `out_dir`."""
    work_dir, out_dir = tmp_path / 'w', tmp_path / 'out'
    for folder in (work_dir, out_dir):
        folder.mkdir()
    older = whole(out_dir / 'epoch_3.pth')
    (work_dir / 'last_checkpoint').write_text(str(half(out_dir / 'epoch_4.pth')))
    assert newest_whole(work_dir) == (older, [f'{out_dir}/epoch_4.pth is not whole'])


def test_nothing_whole_is_an_error(tmp_path):
    half(tmp_path / 'epoch_1.pth')
    with pytest.raises(InputError, match=r'epoch_1\.pth is not whole; pass --resume CKPT, or --overwrite'):
        newest_whole(tmp_path)
    (tmp_path / 'epoch_1.pth').unlink()
    (tmp_path / 'last_checkpoint').write_text('w/epoch_1.pth')
    with pytest.raises(InputError, match=r'last_checkpoint names w/epoch_1\.pth, which is not there'):
        newest_whole(tmp_path)


def test_the_best_checkpoint_alone_is_nothing_to_go_on_from(tmp_path):
    best = tmp_path / 'best_coco_segm_mAP_epoch_12.pth'
    whole(best)
    with pytest.raises(InputError, match=f'holds {best.name} alone, .*--overwrite .* load_from={best}'):
        newest_whole(tmp_path)


def test_a_run_is_removed_and_nothing_else(tmp_path):
    others = ['pretrained.pth', 'tiny.py', 'metrics.json', 'epoch_3-12345678.pth']
    run = ['epoch_3.pth', 'iter_4.pth', 'best_coco_bbox_mAP_epoch_2.pth', 'curves.png', 'curves.csv', 'own_3.pth']
    for name in (*others, *run):
        (tmp_path / name).touch()
    (tmp_path / 'last_checkpoint').write_text('own_3.pth')  # named by the config
    remove_run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize('deleted', range(6))
def test_a_run_that_was_being_replaced_is_not_gone_on_with(deleted, tmp_path, monkeypatch):
    run = [whole(tmp_path / f'epoch_{n}.pth') for n in (1, 2)]
    (tmp_path / 'last_checkpoint').write_text(str(run[1]))
    (tmp_path / 'curves.csv').touch()
    unlink, left = Path.unlink, [deleted]

    def killed(path: Path, **options: bool) -> None:
        if path.name[0] != '.':  # a temporary file is not of the run
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr('pathlib.Path.unlink', killed)
        with suppress(KeyboardInterrupt):
            remove_run(tmp_path)
    assert newest_whole(tmp_path) == (None, [])
    assert checkpoints(tmp_path) == []
    assert being_replaced(tmp_path) == (deleted < 5)
    remove_run(tmp_path)
    assert not list(tmp_path.iterdir())
