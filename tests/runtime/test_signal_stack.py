"""Signals after a model is loaded."""

import ctypes
import signal
import subprocess
import sys

import pytest
from onnx_files import tiny, written

from mmagg.runtime.sessions import open_session
from mmagg.runtime.signal_stack import Stack, kept_signal_stack

linux = pytest.mark.skipif(sys.platform != 'linux', reason='the stack of signals is known on Linux alone')


@linux
def test_the_stack_is_the_one_before():
    def current():
        ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found := Stack()))
        return found.start, found.flags, found.size

    before, memory = current(), ctypes.create_string_buffer(2**16)
    with kept_signal_stack():
        other = Stack(ctypes.addressof(memory), 0, len(memory))
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(other), None) == 0
        assert current()[0] == ctypes.addressof(memory)
    assert current() == before


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_a_child_that_ends_does_not_end_the_process(tmp_path, runtime):
    """On processors with AMX, OpenVINO's stack for signals was too small for Python's handlers."""
    pytest.importorskip(runtime)
    open_session(written(tmp_path / 'a.onnx', tiny()), runtime=runtime)
    calls = []
    before = signal.signal(signal.SIGCHLD, lambda *_: calls.append(1))
    try:
        for _ in range(3):
            subprocess.run([sys.executable, '-c', ''], check=True)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert calls
