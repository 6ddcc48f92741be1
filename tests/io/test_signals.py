"""Signals wait for calls that must not be interrupted."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mmagg.io.signals import signals_wait

# A training's checkpoint, as mmengine saves it, and a signal at the moment that its writer would stay unfinished.
SAVING = """
import os, signal, sys
from pathlib import Path
import torch
from mmagg.engine.brief_runner import BriefRunner
from mmagg.engine.training_runner import TrainingRunner
from mmengine.runner.checkpoint import save_checkpoint

writer = torch.serialization._open_zipfile_writer_buffer
finish = writer.__exit__

def stopped(self, *args):
    os.kill(os.getpid(), signal.SIGINT)
    finish(self, *args)

writer.__exit__ = stopped
BriefRunner.save_checkpoint = lambda self, folder, name: save_checkpoint({'a': 1}, f'{folder}/{name}')
try:
    TrainingRunner.save_checkpoint(object.__new__(TrainingRunner), sys.argv[1], 'x.pth')
except KeyboardInterrupt:
    torch.load(Path(sys.argv[1]) / 'x.pth')
    print('whole')
"""


def interrupted_before(call: Callable[[], None]) -> None:
    """SIGINT, then the call, in one block."""
    with signals_wait():
        os.kill(os.getpid(), signal.SIGINT)
        call()


def test_a_signal_is_handled_at_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_before(lambda: done.append('block'))
    assert done == ['block']
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_error_of_the_block_is_the_context_of_the_signal():
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted_before(lambda: Path('no such folder').iterdir().__next__())
    assert isinstance(caught.value.__context__, FileNotFoundError)


def test_ignored_signals_stay_ignored_and_threads_hold_none():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_wait():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    seen = []

    def other() -> None:
        with signals_wait():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_a_checkpoint_is_saved_to_its_end(tmp_path):
    done = subprocess.run([sys.executable, '-c', SAVING, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.stdout.endswith('whole\n'), done.stderr
    assert done.returncode == 0
