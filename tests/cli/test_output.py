"""What commands print: nobody reads it, it cannot be written, or it would steer a terminal."""

import argparse
import errno
import io
import logging
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import cv2
import pytest
from tqdm import tqdm

from mmagg.cli import output
from mmagg.cli.main import COMMANDS, main, run
from mmagg.cli.output import Unread

Opened = Callable[[int | str], object]


@pytest.fixture
def opened(monkeypatch) -> Iterator[Opened]:
    """Sets stdout or stderr to a file or descriptor."""
    files = []

    def opened(target: int | str, name: str = 'stdout') -> None:
        buffering = 1 if name == 'stderr' else -1  # as Python has it
        files.append(open(target, 'w', encoding='utf-8', buffering=buffering))  # noqa: SIM115
        monkeypatch.setattr(sys, name, files[-1])

    yield opened
    for file in files:
        with suppress(OSError):
            file.close()


def broken_pipe() -> int:
    """The end for writing of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    return write


def tool(call: Callable[[], object]) -> types.SimpleNamespace:
    """A command."""
    return types.SimpleNamespace(parser=argparse.ArgumentParser, run=lambda args: call())


@pytest.mark.parametrize('words', [['--help'], ['--version'], ['train', '--help']])
def test_help_that_nobody_reads_ends_silently(words, opened, capfd):
    opened(broken_pipe())
    try:
        code = main(words)
    except SystemExit as done:
        code = done.code
    sys.stdout.flush()  # as Python does at its end
    assert code == 141
    assert capfd.readouterr().err == ''


def test_an_error_that_nobody_reads_ends_silently(opened):
    opened(broken_pipe(), 'stderr')
    assert main(['trian']) == 141


def test_work_that_prints_ends_in_order(opened, capfd):
    seen = []

    def work() -> None:
        logger = logging.Logger('work')
        logger.addHandler(logging.StreamHandler(sys.stdout))
        try:
            logger.info('an error that logging would swallow')
        except BaseException as error:
            seen.append(type(error))
            sys.stdout.write('cleaning up')
            sys.stdout.flush()
            raise

    opened(broken_pipe())
    assert run(tool(work), []) == 141
    assert seen == [Unread]
    assert capfd.readouterr().err == ''


def test_other_pipes_that_break_are_errors(capsys):
    def work() -> None:
        raise BrokenPipeError(errno.EPIPE, 'Broken pipe')

    assert run(tool(work), []) == 2
    assert 'Broken pipe' in capsys.readouterr().err


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='no full device')
def test_results_that_cannot_be_written_are_a_line_after_the_work(opened, capfd):
    done = []
    opened('/dev/full')
    assert run(tool(lambda: [sys.stdout.write('table'), sys.stdout.flush(), done.append(1)][:0]), []) == 2
    assert done == [1]
    sys.stdout.flush()
    assert capfd.readouterr().err == 'error: stdout: No space left on device\n'
    assert run(tool(lambda: 1), []) == 1


@pytest.mark.parametrize('closed', ['stdout', 'stderr'])
def test_closed_outputs_are_no_crash(closed, monkeypatch):
    monkeypatch.setattr(sys, closed, None)
    assert main(['--version']) == 0
    assert main(['trian']) == 2


def test_the_process_ends_without_a_word():
    """Python flushes stdout once more."""
    command = [sys.executable, '-c', 'import sys; from mmagg.cli.main import main; sys.exit(main(["--help"]))']
    done = subprocess.run(command, stdout=broken_pipe(), stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (141, '')


NASTY = '\x1b]0;title\x07 \x1b[2J \u202e \udcff'
HARMLESS = r'\x1b]0;title\x07 \x1b[2J \u202e \udcff'


def test_names_and_contents_of_files_do_not_steer_the_terminal(tmp_path, capsys):
    def work() -> None:
        sys.stdout.write(f'class {NASTY}\n')
        tqdm.write(f'note {NASTY}', file=sys.stderr)
        logging.StreamHandler(sys.stdout).emit(logging.makeLogRecord({'msg': f'log {NASTY}'}))
        raise KeyError(NASTY)

    assert run(tool(work), []) == 2
    out, err = capsys.readouterr()
    assert out == f'class {HARMLESS}\nlog {HARMLESS}\n'
    assert err.splitlines()[0] == f'note {HARMLESS}'
    assert err.splitlines()[1].startswith('error: KeyError')
    assert not {*'\x1b\x07\u202e\udcff'} & {*out, *err}
    results = tmp_path / f'results{NASTY.replace("/", "")}.json'
    assert main(['analyse-errors', str(results), str(results)]) == 2
    with pytest.raises(SystemExit):
        main(['analyse-errors', f'--{NASTY}'])
    assert not {*'\x1b\x07\u202e\udcff'} & {*capsys.readouterr().err}


def test_keys_of_files_do_not_steer_the_terminal(annotations, tmp_path, capsys):
    results = tmp_path / 'results.json'
    results.write_text(f'[{{"{NASTY[:3]}": 1}}]'.replace('\x1b', r'\u001b'))
    assert main(['analyse-errors', str(annotations), str(results)]) == 2
    assert '\x1b' not in capsys.readouterr().err


def test_a_line_of_stderr_is_never_pages_long(capsys):
    run(tool(lambda: tqdm.write('note: ' + 'x' * 50_000 + '\nsecond', file=sys.stderr)), [])
    first, second = capsys.readouterr().err.splitlines()
    assert len(first) < 2100
    assert second == 'second'


def test_progress_in_a_file_is_a_line_now_and_then(capsys, monkeypatch):
    def work() -> None:
        sys.stderr.write('before\n')
        for i in tqdm(range(4), 'outer', mininterval=0, miniters=1):
            for _ in tqdm(range(2), 'inner', mininterval=0, miniters=1, leave=False):
                pass
            if i == 1:
                tqdm.write('said', file=sys.stderr)
        sys.stderr.write('\nafter\n')

    run(tool(work), [])
    assert capsys.readouterr().err == 'before\nsaid\n\nafter\n'
    monkeypatch.setattr(output, 'BAR_SECONDS', 0)
    run(tool(work), [])
    written = capsys.readouterr().err
    assert not {*'\r\x1b'} & {*written}
    assert all(line.startswith(('outer: ', 'inner: ', 'said')) for line in written.splitlines()[1:-2])
    assert 'outer:  50%' in written


def test_a_training_that_nobody_reads_any_more_ends_in_order(tiny_config, shapes_folder, tmp_path, opened, capfd):
    read, write = os.pipe()

    def reader() -> None:
        with open(read, encoding='utf-8') as lines:
            next(line for line in lines if 'Saving checkpoint at 2 iterations' in line)

    opened(write)
    thread = Thread(target=reader)
    thread.start()
    words = [tiny_config, '--coco', shapes_folder, '--work-dir', tmp_path / 'w', '--cfg-options']
    words += ['train_cfg.max_iters=10000', 'default_hooks.checkpoint.max_keep_ckpts=1']
    assert run(COMMANDS['train'], list(map(str, words))) == 141
    thread.join()
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith('the training has ended, as nobody reads what it prints any more; ')
    assert last.endswith('.pth is whole: --resume goes on')
    assert cv2.imread(str(tmp_path / 'w/curves.png')) is not None
    assert (tmp_path / 'w/last_checkpoint').exists()
    assert not list((tmp_path / 'w').glob('.*'))


def test_a_stream_that_is_no_file(monkeypatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, 'stdout', Full())
    assert main(['--version']) == 2
