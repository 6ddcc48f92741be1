"""A command that is stopped by a signal ends in a line, and leaves no process behind."""

import argparse
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import cv2
import pytest

from mmagg.cli.main import COMMANDS, run
from mmagg.io.errors import set_note
from mmagg.io.signals import SIGNALS

# Raises no error where it is stopped, as a clean-up would not, and says so.
CLEANING = """
import argparse, os, sys, time, types
from mmagg.cli.main import COMMANDS, run
def command(args):
    try:
        print('ready', flush=True)
        time.sleep(60)
    finally:
        print('cleaning', flush=True)
        time.sleep(float(sys.argv[1]))
        print('cleaned', flush=True)
sys.exit(run(types.SimpleNamespace(parser=argparse.ArgumentParser, run=command), []))
"""


@pytest.fixture(autouse=True)
def _handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGCHLD, signal.SIGALRM)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def tool(call: Callable[[], None]) -> types.SimpleNamespace:
    """A command."""
    return types.SimpleNamespace(parser=argparse.ArgumentParser, run=lambda args: call())


@pytest.mark.parametrize(
    'number, code, line',
    [
        (signal.SIGINT, 130, 'interrupted'),
        (signal.SIGTERM, 143, 'terminated (SIGTERM)'),
        (signal.SIGHUP, 129, 'terminated (SIGHUP)'),
    ],
)
def test_a_signal_is_a_line_and_an_exit_code(number, code, line, capsys):
    assert run(tool(lambda: os.kill(os.getpid(), number)), []) == code
    assert capsys.readouterr().err == f'{line}\n'


def test_an_error_that_the_signal_caused_is_not_shown(capsys):
    def loader() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            error = RuntimeError('DataLoader worker is killed by signal')
            set_note(error, 'some of it is done')
            raise error

    assert run(tool(loader), []) == 143
    assert capsys.readouterr().err == 'terminated (SIGTERM); some of it is done\n'


def test_a_signal_that_others_swallow_is_raised_again_but_not_into_clean_ups(capsys, monkeypatch):
    monkeypatch.setattr('mmagg.cli.stopping.AGAIN', 0.1)
    cleaned = []

    class Swallowing:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    @contextmanager
    def cleaning() -> Iterator[None]:
        try:
            yield
        finally:
            time.sleep(0.3)
            cleaned.append(True)

    def work() -> None:
        with cleaning():
            try:
                Swallowing()
                time.sleep(5)
            finally:
                time.sleep(0.3)
                cleaned.append(True)

    start = time.monotonic()
    assert run(tool(work), []) == 143
    assert time.monotonic() - start < 3
    assert cleaned == [True, True]
    assert capsys.readouterr().err == 'terminated (SIGTERM)\n'


def test_handlers_of_others_and_ignored_signals_stay(monkeypatch):
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append('own'))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    assert run(tool(lambda: [os.kill(os.getpid(), number) for number in (signal.SIGTERM, signal.SIGHUP)][:0]), []) == 0
    assert seen == ['own']
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_processes_that_torchrun_started_but_the_first_end_at_once(monkeypatch):
    monkeypatch.setenv('RANK', '1')
    assert run(tool(lambda: int(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)), []) == 0


@pytest.mark.parametrize('starter, handled', [(['nohup'], 'SIGTERM,SIGINT,SIGQUIT'), ([], 'torchrun’s own')])
@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_a_hang_up_that_is_ignored_is_ignored_by_torchrun_as_well(script, starter, handled, root, tmp_path):
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "${PET_SIGNALS_TO_HANDLE-torchrun’s own}"\n')
    python.chmod(0o755)
    words = [*starter, 'bash', root / 'tools' / script, 'config.py', 'model.pth', '2']
    environment = {**os.environ, 'PYTHON': str(python)}
    environment.pop('PET_SIGNALS_TO_HANDLE', None)
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    assert done.stdout == f'{handled}\n', done.stderr


def stopped(seconds: float, *delays: float) -> tuple[int, str, str]:
    """`CLEANING` for so many seconds in a process of its own that gets SIGINT after each delay."""
    process = subprocess.Popen(
        [sys.executable, '-c', CLEANING, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == 'ready\n'
    for delay in delays:
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_a_signal_sent_twice_at_once_is_one():
    assert stopped(0.3, 0, 0.1) == (130, 'cleaning\ncleaned\n', 'interrupted\n')


def test_a_second_one_ends_at_once():
    assert stopped(60, 0, 1.2) == (130, 'cleaning\n', 'interrupted, without clean-up\n')


def test_the_runs_of_a_comparison_end_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('mmagg.experiments.compare_learning.subprocess.Popen', Sleeping)
    (tmp_path / 'a.py').touch()
    Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    words = [tmp_path / 'a.py', '--coco', tmp_path, '--work-dir', tmp_path / 'w', '--jobs', 2]
    start = time.monotonic()
    assert run(COMMANDS['compare-learning'], list(map(str, words))) == 143
    assert time.monotonic() - start < 10
    assert capsys.readouterr().err.endswith('terminated (SIGTERM); the same command goes on\n')


class Sleeping(subprocess.Popen):
    """Stands in for a training."""

    def __init__(self, words: list[str], **options: object) -> None:
        super().__init__(['sleep', '60'], **options)


def children(pid: int) -> list[int]:
    """Processes that this one started."""
    return [int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='the processes are listed by Linux')
@pytest.mark.parametrize('stop', [os.kill, pytest.param(os.killpg, marks=pytest.mark.slow)])
def test_a_terminated_training_ends_its_workers_and_has_curves(stop, root, tiny_config, shapes_folder, tmp_path):
    words = ['train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True', 'train_cfg.max_iters=10000']
    command = [root / 'tools/train.py', tiny_config, '--coco', shapes_folder, '--work-dir', tmp_path / 'w']
    command += ['--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=1', *words]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / 'w/last_checkpoint').exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = children(process.pid)
    (tmp_path / 'w/curves.png').unlink(missing_ok=True)
    stop(process.pid, signal.SIGTERM)
    *_, last = process.communicate(timeout=60)[1].splitlines()
    saved = (tmp_path / 'w/last_checkpoint').read_text()
    assert (process.returncode, last) == (143, f'terminated (SIGTERM); {saved} is whole: --resume goes on')
    assert len(workers) >= 2  # for a moment, git as well, which mmengine asks for its version at each checkpoint
    deadline = time.monotonic() + 5  # one that has ended is listed until init has seen it
    while (left := [pid for pid in workers if Path(f'/proc/{pid}').exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
    assert cv2.imread(str(tmp_path / 'w/curves.png')) is not None
    assert not list((tmp_path / 'w').glob('.*'))
