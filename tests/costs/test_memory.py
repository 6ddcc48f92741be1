"""Peak memory against allocations of known size."""

import pytest
import torch

from mmagg.costs.memory import MemoryMeter

MIB = 2**20


def mib(number):
    return torch.empty(number * MIB, dtype=torch.uint8)


def test_peaks_between_marks():
    with MemoryMeter() as meter:
        a, b = mib(1), mib(2)
        del a
        meter.mark('second')
        c = mib(4)
        del c
        meter.mark('third')
        d = mib(3)
    assert meter.peak('start', 'second') == 3 * MIB
    assert meter.peak() == (2 + 4) * MIB
    assert meter.peak('second') == meter.peak('second', 'third') == 4 * MIB
    assert meter.peak('third') == 3 * MIB
    del b, d


def test_temporaries_and_the_backward_pass_count():
    x = torch.ones(MIB // 4, requires_grad=True)  # 1 MiB
    with MemoryMeter() as meter:
        y = (x.exp() + 1).sum()
        meter.mark('backward')
        y.backward()
    assert 2 * MIB <= meter.peak('start', 'backward') <= 2 * MIB + 100
    assert MIB <= meter.peak('backward') <= 2 * MIB
    assert meter.peak() >= meter.peak('start', 'backward')


def test_unknown_marks_are_refused():
    with MemoryMeter() as meter:
        meter.mark('here')
    with pytest.raises(ValueError, match=r"no mark 'there'; there are \['start', 'here'\]"):
        meter.peak('there')


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
def test_peaks_on_cuda():
    with MemoryMeter('cuda') as meter:
        a = torch.empty(8 * MIB, dtype=torch.uint8, device='cuda')
        meter.mark('second')
        b = torch.empty(4 * MIB, dtype=torch.uint8, device='cuda')
        del b
    assert meter.peak() == 12 * MIB
    assert meter.peak('second') == 4 * MIB
    del a
