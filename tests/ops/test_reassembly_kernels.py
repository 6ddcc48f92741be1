"""The Triton kernels of reassembly, compiled for GPUs that need not be there: registers, stack, speed at most."""

import sys
from itertools import product

import pytest
import torch

pytest.importorskip('triton', minversion='3.4')
from issue_bound import GPUS, bound
from reassembly_kernels import KERNELS, STEPS, start

LAYOUTS = 'contiguous', 'channels_last'
DTYPES = torch.float32, torch.bfloat16
CASES = [  # architecture, op, kernel, layout, dtype
    case
    for case in product(GPUS, STEPS, KERNELS, LAYOUTS, DTYPES)
    if case[2:4] != ('grad_kernels', 'channels_last')  # which makes its inputs contiguous
]
QUICK = (80, torch.float32), (90, torch.bfloat16)  # the others in the slow tests
# Least share of a copy's bandwidth, forward, by architecture, op and dtype.
LEAST = {
    (80, 'up', torch.float32): 0.9,
    (80, 'up', torch.bfloat16): 0.55,
    (80, 'down', torch.float32): 0.9,
    (80, 'down', torch.bfloat16): 0.55,
    (90, 'up', torch.float32): 0.9,
    (90, 'up', torch.bfloat16): 0.35,  # multiply-adds in float32 alone allow 0.78
    (90, 'down', torch.float32): 0.9,
    (90, 'down', torch.bfloat16): 0.55,
}


def marked(cases: list[tuple]) -> list:
    return [
        pytest.param(*case, marks=[] if (case[0], case[-1]) in QUICK else pytest.mark.slow, id='-'.join(map(str, case)))
        for case in cases
    ]


@pytest.mark.parametrize(('architecture', 'op', 'kernel', 'layout', 'dtype'), marked(CASES))
def test_no_kernel_has_a_stack(architecture, op, kernel, layout, dtype) -> None:
    resources = start(op, kernel, layout, dtype, architecture).launched.resources
    assert resources['STACK'] == resources['LOCAL'] == 0
    assert resources['REG'] <= 255


@pytest.mark.parametrize(
    ('architecture', 'op', 'kernel', 'layout', 'dtype'), marked([case for case in CASES if case[2] == 'forward'])
)
def test_forward_is_not_bound_by_what_it_issues(architecture, op, kernel, layout, dtype) -> None:
    one = start(op, kernel, layout, dtype, architecture)
    found = bound(one.launched, trips=one.trips, moved=one.moved, gpu=GPUS[architecture])
    assert 1 <= found.products / one.products < 1.2  # the loops are understood; tiles overlap a little
    assert found.share >= LEAST[architecture, op, dtype], found


@pytest.mark.slow
def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    """All bounds, for reading: `python -m pytest -m slow tests/ops/test_reassembly_kernels.py -k table -s`."""
    lines = ['| GPU | op | kernel | layout | dtype | registers | instructions a multiply-add | of a copy, at most |']
    lines.append('|---|---|---|---|---|---:|---:|---:|')
    for architecture, *case in CASES:
        one = start(*case[:3], case[3], architecture)
        found = bound(one.launched, trips=one.trips, moved=one.moved, gpu=GPUS[architecture])
        words = [GPUS[architecture].name, *case[:3], str(case[3]).removeprefix('torch.')]
        lines.append(
            f'| {" | ".join(words)} | {one.launched.resources["REG"]} | {found.overhead:.2f} | {found.share:.0%} |'
        )
        assert 0 < found.share <= 1
    with capsys.disabled():
        sys.stdout.write('\n'.join(['', *lines, '']))
