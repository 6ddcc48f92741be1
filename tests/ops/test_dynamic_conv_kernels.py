"""The Triton kernel of dynamic convolutions, compiled for GPUs that need not be there: registers and work."""

from itertools import product

import pytest
import torch

pytest.importorskip('triton', minversion='3.7')  # older ones choose other registers
from issue_bound import GPUS, loops_of
from offline_kernels import Launched, launches

from mmagg.ops import DynamicConvSpec, dynamic_conv_triton

SPEC, SIZE, INSTANCES, GATHERED = DynamicConvSpec(21), (200, 336), 64, 5  # AggMask's, for 800 x 1344 pixels
DTYPES = torch.float32, torch.bfloat16
REGISTERS = 168  # of a thread: three programs of four warps fit on a multiprocessor
OVERHEAD = {
    torch.float32: 1.75,
    torch.bfloat16: 2.25,
}  # instructions for each that multiplies and adds, before the last
QUICK = [(80, 0, torch.float32), (80, 2, torch.float32), (90, 1, torch.bfloat16)]  # the others in the slow tests
CASES = [
    pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow, id='-'.join(map(str, case)))
    for case in product(GPUS, range(SPEC.num_layers), DTYPES)
]


def compiled(architecture: int, layer: int, dtype: torch.dtype) -> Launched:
    """A layer of AggMask's net as it is started."""

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device='meta')

    outputs, inputs = SPEC.layers[layer]
    maps, index, shared = empty(INSTANCES * inputs, *SIZE), None, empty(0, *SIZE)
    if layer == 0:
        maps, shared = empty(100, *SIZE), empty(inputs - GATHERED, *SIZE)
        index = torch.empty(INSTANCES, GATHERED, dtype=torch.int32, device='meta')
    out, params = empty(INSTANCES, outputs, *SIZE), empty(INSTANCES, SPEC.num_params)
    with launches(architecture) as found:
        dynamic_conv_triton.layer(out, maps, index, shared, params, 0, SPEC.kernel_size, layer < SPEC.num_layers - 1)
    (launched,) = found
    return launched


@pytest.mark.parametrize(('architecture', 'layer', 'dtype'), CASES)
def test_threads_multiply_more_than_they_do_otherwise_and_have_no_stack(architecture, layer, dtype) -> None:
    launched = compiled(architecture, layer, dtype)
    found = launched.resources
    assert found['STACK'] == found['LOCAL'] == 0
    assert found['REG'] <= REGISTERS
    loops = [launched.instructions[first : last + 1] for first, last in loops_of(launched.instructions)]
    assert len(loops) == (2 if layer == 0 else 1)  # over gathered and over shared maps
    needed = SPEC.layers[layer][0] * SPEC.kernel_size**2 * launched.arguments['ROWS']
    for loop in loops:
        assert sum('FFMA' in line for line in loop) == needed
        assert layer == SPEC.num_layers - 1 or len(loop) < OVERHEAD[dtype] * needed
