"""The kernels of the fused steps: their results in Triton's interpreter, and their resources on GPUs that are absent.

The interpreter has to be chosen before Triton is imported, so a process of its own runs `test_fused` in it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip('triton', minversion='3.4')
import triton
from offline_kernels import launches

from mmagg.ops import fused, fused_triton

CASES = Path(__file__).with_name('test_fused.py')
OLD = tuple(map(int, triton.__version__.split('.')[:2])) < (3, 7)


STARTS = {
    'unit_kernel': lambda made: [
        (made(1, 256, 67200).transpose(1, 2), 16.0),
        (made(1, 2048, 1050).transpose(1, 2), 45.0),
        (made(1, 67200, 256), 1.0),
    ],
    'gate_kernel': lambda made: [
        (made(1, 256), made(1, 256), made(128, 512), *[made(128)] * 3, made(512, 128), made(512))
    ],
    'weigh_kernel': lambda made: [(made(1, 256, 200, 336), made(1, 256), made(1, 256, 200, 336), made(1, 256))],
}


@pytest.mark.skipif(OLD, reason='older ones choose other registers')
@pytest.mark.parametrize('architecture', [80, 90])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('name', STARTS)
def test_no_kernel_has_a_stack(name: str, dtype: torch.dtype, architecture: int) -> None:
    def made(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype, device='meta')

    with launches(architecture) as found:
        for arguments in STARTS[name](made):
            if name == 'unit_kernel':
                fused_triton.unit_vectors(torch.empty_like(arguments[0]), *arguments, fused.EPS)
            elif name == 'gate_kernel':
                fused_triton.channel_weights(made(1, 512), *arguments, 1e-5, 2.0)
            else:
                fused_triton.weigh_and_add(*arguments)
    for launched in found:
        assert launched.name == name
        assert launched.resources['STACK'] == launched.resources['LOCAL'] == 0
        assert launched.resources['REG'] <= 128, launched.resources


def test_in_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', str(CASES), '-k', 'triton'],
        env=os.environ | {'TRITON_INTERPRET': '1'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert 'passed' in done.stdout
