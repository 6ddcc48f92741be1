"""No run loses its checkpoints, and none overwrites another."""

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from mmengine.fileio import LocalBackend

from mmagg.apis.checkpoint import load_checkpoint
from mmagg.cli.main import COMMANDS, run
from mmagg.io.folder_lock import locked
from mmagg.io.partial import partial_path
from mmagg.io.run_folder import REPLACED, newest_whole, noted


def files(folder: Path) -> dict[str, int]:
    """All files in a folder, and when they were written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob('*')}


def names(work_dir: Path) -> set[str]:
    """The files of a run, hidden ones as well, but for its logs."""
    return {path.name for path in work_dir.iterdir() if path.is_file()}


@pytest.fixture
def train(tiny_config: Path, shapes_folder: Path, capsys):
    """Trains in this process; returns the exit code and what is said of it, without findings in the data."""

    def train(work_dir: Path, *arguments: object, options: tuple[str, ...] = ()) -> tuple[int, list[str]]:
        words = [tiny_config, '--coco', shapes_folder, '--work-dir', work_dir, '--no-save-best', *arguments]
        words += ['--cfg-options', *options] if options else []
        code = run(COMMANDS['train'], [str(word) for word in words])
        said = capsys.readouterr().err.splitlines()
        return code, [line for line in said if line.startswith(('error: ', '--resume', 'interrupted'))]

    return train


@pytest.fixture
def held(trained: Path, tmp_path: Path) -> Path:
    """A work dir of a finished run."""
    return Path(shutil.copytree(trained, tmp_path / 'held'))


OTHER_MODEL = 'model.mask_head.stacked_convs=2'
ONE = 'default_hooks.checkpoint.max_keep_ckpts=1'


def test_a_full_disk_leaves_the_last_checkpoint(train, tmp_path, monkeypatch):
    put = LocalBackend.put

    def full(self, content: bytes, path: str) -> None:
        if 'iter_2' in path:
            put(self, content[:1000], path)
            raise OSError(errno.ENOSPC, 'No space left on device')
        put(self, content, path)

    with monkeypatch.context() as patch:
        patch.setattr(LocalBackend, 'put', full)
        code, errors = train(tmp_path / 'w', options=(ONE,))
    assert code == 2
    assert errors[-1].startswith(f'error: {tmp_path}/w/iter_2.pth: not saved (No space left on device)')
    assert names(tmp_path / 'w') == {'iter_1.pth', 'last_checkpoint', 'tiny.py', 'curves.png', 'curves.csv'}
    partial_path(tmp_path / 'w/iter_7.pth').touch()  # as a kill would leave it
    assert train(tmp_path / 'w', '--resume', options=(ONE,))[0] == 0
    assert names(tmp_path / 'w') == {'iter_2.pth', 'last_checkpoint', 'tiny.py', 'curves.png', 'curves.csv'}


@pytest.mark.parametrize('name', ['iter_2.pth', 'last_checkpoint'])
def test_an_interrupt_while_saving_leaves_a_whole_checkpoint(name, train, tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(source: str, target: Path) -> None:
        if Path(target).name == name and (tmp_path / 'last_checkpoint').exists():
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr('os.replace', interrupted)
    assert train(tmp_path, options=(ONE,)) == (130, [f'interrupted; {tmp_path}/iter_1.pth is whole: --resume goes on'])
    assert newest_whole(tmp_path) == (tmp_path / 'iter_1.pth', [])
    assert not [path for path in names(tmp_path) if path.startswith('.')]


def test_a_broken_checkpoint_is_skipped_with_a_word(train, held):
    (held / 'iter_2.pth').write_bytes((held / 'iter_2.pth').read_bytes()[:5000])
    code, errors = train(held, '--resume')
    assert (code, errors) == (0, [f'--resume: {held}/iter_2.pth is not whole, going on from {held}/iter_1.pth'])
    assert newest_whole(held) == (held / 'iter_2.pth', [])


def test_what_a_kill_left_of_a_finished_run_goes(train, held):
    before = names(held)
    partial_path(held / 'curves.csv').touch()  # after the last checkpoint
    assert train(held, '--resume') == (0, [])
    assert names(held) == before


def test_a_run_is_not_overwritten(train, held, tmp_path):
    before = files(held)
    elsewhere = shutil.copy(held / 'iter_1.pth', tmp_path)
    for arguments, words in (
        ([], 'holds a run (iter_2.pth); --resume goes on with it, --overwrite replaces it, --work-dir names another'),
        (['--resume', tmp_path / 'none.pth'], f'error: checkpoint {tmp_path}/none.pth: no such file'),
        (['--resume', elsewhere], 'holds a run (iter_2.pth); --resume without a checkpoint goes on with it, --over'),
        (['--resume', '--overwrite'], '--resume and --overwrite: one goes on with the run in'),
        (['--resume', held / 'iter_1.pth', '--overwrite'], '--resume and --overwrite: one goes on with the run in'),
    ):
        code, errors = train(held, *arguments)
        assert code == 2
        assert len(errors) == 1
        assert words in errors[0]
    assert files(held) == before


def test_a_refused_training_leaves_the_work_dir_as_it_was(train, held, tmp_path):
    before = files(held)
    late = ('train_dataloader.sampler.type=Nothing', 'train_cfg.max_iters=3')  # seen by the last check
    code, errors = train(held, '--resume', options=late)
    assert (code, len(errors)) == (2, 1)
    assert files(held) == before
    code, errors = train(tmp_path / 'new/one', '--resume', held / 'iter_1.pth', options=(OTHER_MODEL,))
    assert (code, len(errors)) == (2, 1)
    assert not (tmp_path / 'new').exists()


def test_an_overwritten_run_cannot_be_resumed(train, held, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr('mmdet.models.losses.DiceLoss.forward', interrupted)
        assert train(held, '--overwrite') == (130, ['interrupted; nothing was saved yet'])
    assert names(held) == {'tiny.py'}
    assert newest_whole(held) == (None, [])


def test_a_run_that_was_being_replaced_is_replaced(train, held):
    (held / 'last_checkpoint').write_text(REPLACED)  # as a kill leaves it
    before = files(held)
    for arguments in (
        ['--resume', held / 'iter_1.pth'],
        ['--overwrite', '--cfg-options', f'load_from={held}/iter_1.pth'],
    ):
        code, [error] = train(held, *arguments)
        assert (code, files(held)) == (2, before)
        assert error.startswith(f'error: --overwrite: deletes {held}/iter_1.pth, which the training starts from')
    assert train(held, '--resume', options=('train_cfg.max_iters=1',))[0] == 0
    assert names(held) == {'iter_1.pth', 'last_checkpoint', 'tiny.py', 'curves.png', 'curves.csv'}
    assert load_checkpoint(held / 'iter_1.pth')['meta']['iter'] == 1


def test_a_second_training_in_a_work_dir_is_refused(train, held, capsys):
    context = multiprocessing.get_context('fork')
    pipe, other = context.Pipe()

    def hold() -> None:
        with locked(held, '--work-dir'):
            other.send('holding')
            other.recv()

    first = context.Process(target=hold)
    first.start()
    assert pipe.recv() == 'holding'
    before = files(held)
    for arguments in (['--resume'], ['--overwrite'], []):
        code, [error] = train(held, *arguments)
        assert code == 2
        assert error.startswith(f'error: --work-dir {held}: in use by process {first.pid} on ')
        assert files(held) == before
    assert run(COMMANDS['test'], [str(held / 'tiny.py'), str(held / 'iter_2.pth'), '--work-dir', str(held)]) == 0
    first.kill()
    first.join()
    assert train(held, '--resume', options=('train_cfg.max_iters=3',))[0] == 0
    assert '.lock' not in names(held)


def test_a_folder_of_checkpoints_that_two_runs_would_share_is_refused(train, trained, tmp_path):
    shared = Path(shutil.copytree(trained, tmp_path / 'all/w'))
    before = files(shared)
    code, errors = train(tmp_path / 'w', options=(f'default_hooks.checkpoint.out_dir={tmp_path}/all',))
    assert code == 2
    assert errors[0].startswith(f'error: CheckpointHook.out_dir: {shared} holds a run (iter_2.pth) of another work dir')
    assert files(shared) == before
    assert not (tmp_path / 'w').exists()


def test_weights_that_a_training_starts_from_are_not_deleted(train, held, tmp_path):
    before = files(held)
    os.symlink(held / 'iter_2.pth', tmp_path / 'weights.pth')
    for weights in (held / 'iter_1.pth', tmp_path / 'weights.pth'):
        code, errors = train(held, '--overwrite', options=(f'load_from={weights}',))
        assert code == 2
        assert errors == [
            f'error: --overwrite: deletes {weights}, which the training starts from; --work-dir names another place'
        ]
    assert files(held) == before


def test_a_config_that_a_training_saved_is_gone_on_with(held, capsys):
    words = [str(held / 'tiny.py'), '--work-dir', str(held), '--resume', '--cfg-options', 'train_cfg.max_iters=3']
    assert run(COMMANDS['train'], words) == 0
    assert newest_whole(held) == (held / 'iter_3.pth', [])
    (held / 'tiny.py').write_text(f'# mine\n{(held / "tiny.py").read_text()}')
    assert run(COMMANDS['train'], [*words[:-1], 'train_cfg.max_iters=4']) == 2
    assert 'holds tiny.py, a config that no training wrote, which would be overwritten' in capsys.readouterr().err


def test_another_run_is_gone_on_with_in_an_own_folder(train, held, tmp_path):
    before = files(held)
    assert train(tmp_path / 'w', '--resume', held / 'iter_1.pth')[0] == 0
    assert files(held) == before
    assert {'iter_2.pth'} == {name for name in names(tmp_path / 'w') if name.endswith('.pth')}


@pytest.mark.slow
def test_a_killed_training_can_always_go_on(root, tiny_config, shapes_folder, tmp_path):
    command = [sys.executable, root / 'tools/train.py', tiny_config, '--coco', shapes_folder, '--work-dir', tmp_path]
    command += ['--resume', '--cfg-options', ONE, 'train_cfg.max_iters=100000']
    random, reached = Random(0), [0]
    for _ in range(8):
        begun = noted(tmp_path)
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while noted(tmp_path) == begun and process.poll() is None:
            time.sleep(0.05)
        time.sleep(random.uniform(0, 0.5))  # saving is most of what it does
        process.kill()
        assert 'rror' not in process.communicate()[1]
        path, skipped = newest_whole(tmp_path)
        assert not skipped
        reached.append(load_checkpoint(path)['meta']['iter'])
        assert len(list(tmp_path.glob('*.pth'))) <= 2
        assert len({path.name for path in tmp_path.glob('.*')} - {'.lock'}) <= 1
    assert all(later > earlier for earlier, later in pairwise(reached))
    assert len(reached) == 9


@pytest.mark.slow
def test_a_killed_replacement_leaves_all_of_the_old_run_or_none(root, train, held, tiny_config, shapes_folder):
    words = [tiny_config, '--coco', shapes_folder, '--work-dir', held, '--overwrite']
    never_saves = ['--cfg-options', 'train_cfg.max_iters=100000', 'default_hooks.checkpoint.interval=100000']
    before, random, replaced = files(held), Random(0), False
    for _ in range(5):
        if replaced:
            shutil.rmtree(held)
            assert train(held)[0] == 0
            before = files(held)
        process = subprocess.Popen(
            [sys.executable, str(root / 'tools/train.py'), *map(str, [*words, *never_saves])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        late = time.monotonic() + random.choice([random.uniform(0, 4), 60])
        while noted(held) is not None and time.monotonic() < late:
            time.sleep(0.001)
        time.sleep(random.choice([0, random.uniform(0, 1)]))
        process.kill()
        process.wait()
        replaced = noted(held) is None
        if not replaced:
            assert before.items() <= files(held).items()
            continue
        assert newest_whole(held) == (None, [])
        assert train(held, '--resume', options=('train_cfg.max_iters=1',))[0] == 0
        assert load_checkpoint(held / 'iter_1.pth')['meta']['iter'] == 1
