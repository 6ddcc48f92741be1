"""The Triton kernels of windows: in Triton's interpreter, and compiled for GPUs that need not be there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip('triton', minversion='3.4')
from offline_kernels import launches

from mmagg.ops import window_kernels, window_ops
from mmagg.ops.window_table import COLUMNS

NUM, TILES = 100, 5000


def there(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device='meta')


def test_in_the_interpreter() -> None:
    """The tests of the operators, in a process of its own: it has to be chosen before Triton is imported."""
    file = Path(__file__).with_name('test_window_ops.py')
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', file],
        env=os.environ | {'TRITON_INTERPRET': '1'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert 'passed' in done.stdout


def test_kernels_that_do_not_run_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton can be imported where it finds no compiler, as in images that only run programs."""

    def launch(*_: object) -> None:
        raise RuntimeError('Failed to find C compiler.')

    monkeypatch.setattr(window_kernels, 'mask_extents', launch)
    window_ops.failure.cache_clear()
    assert not window_ops.fused(torch.device('cuda'))
    assert 'it needs a C compiler and Triton' in window_ops.failure(None)
    window_ops.failure.cache_clear()


@pytest.mark.parametrize('architecture', [80, 90])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_no_kernel_has_a_stack(dtype: torch.dtype, architecture: int) -> None:
    table, out = there(NUM, COLUMNS, dtype=torch.long), there(2**24, dtype=torch.bool)
    extents, probs, boxes = there(NUM, 4, dtype=torch.int32), there(NUM, 200, 336, dtype=dtype), there(NUM, 4)
    taps = [(there(side, 3, dtype=torch.long), there(side, 3)) for side in (800, 1333)]
    with launches(architecture) as found:
        window_kernels.mask_extents(extents, probs, 0.5)
        window_kernels.resized_windows(out, extents, probs, *taps, table, TILES, 0.5)
        window_kernels.pasted_windows(out, there(NUM, 56, 56, dtype=dtype), boxes, table, TILES, 0.5)
        window_kernels.window_borders(out, out, table, TILES)
    assert [launched.blocks for launched in found] == [NUM * 66, TILES, TILES, TILES]
    for launched in found:
        assert launched.resources['STACK'] == launched.resources['LOCAL'] == 0, launched.name
        assert launched.resources['REG'] <= 255, launched.name
