"""Around reassembly: what mistakes say, which backend is chosen, and what PyTorch asks of its ops."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from reassembly_cases import DOWN, LAYOUTS, UP, inputs, reassemble
from torch import Tensor

from mmagg.ops import BACKENDS, reassemble_down, reassemble_up, reassembly_choice, reassembly_mmcv


def test_mistakes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    x, kernels = torch.zeros(2, 4, 6, 5), torch.zeros(2, 36, 6, 5)
    for message, call in {
        'must have 4 dimensions': lambda: reassemble_up(x[0], kernels),
        'kernels have 36 channels; with 2 groups and scale 2 there must be 8 \\* k \\* k': lambda: reassemble_up(
            x, kernels, groups=2
        ),
        'kernels have 36 channels; with 1 groups and scale 1': lambda: reassemble_down(x, kernels),  # k = 6
        '4 channels of x cannot be split into 3 groups': lambda: reassemble_up(x, kernels, groups=3),
        'kernels of 6 x 5, but x of 6 x 5 with stride 2 needs 3 x 3': lambda: reassemble_down(x, kernels[:, :9]),
        '2 images in x, but 1 in kernels': lambda: reassemble_up(x, kernels[:1]),
        'x is on cpu, but kernels are on meta': lambda: reassemble_up(x, kernels.to('meta')),
        'must be floating point': lambda: reassemble_up(x.long(), kernels),
        'must be positive': lambda: reassemble_up(x, kernels, scale=0),
        'backend=cuda: there is no such backend of reassembly; choose from triton, mmcv, torch': lambda: reassemble_up(
            x, kernels, backend='cuda'
        ),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(RuntimeError, match='backend=mmcv cannot run here: mmcv computes CARAFE on CUDA only, not on'):
        reassemble_up(x, kernels, backend='mmcv')
    with pytest.raises(RuntimeError, match='backend=triton cannot run here: it computes in float32; take'):
        reassemble_up(x.double(), kernels, backend='triton')
    monkeypatch.setenv('MMAGG_REASSEMBLY', 'mmcv')
    with pytest.raises(RuntimeError, match='MMAGG_REASSEMBLY=mmcv cannot run here'):
        reassemble_up(x, kernels)
    reassemble_up(x, kernels, backend='torch')
    monkeypatch.setenv('MMAGG_REASSEMBLY', 'fast')
    with pytest.raises(ValueError, match='MMAGG_REASSEMBLY=fast: there is no such backend'):
        reassemble_up(x, kernels)


def test_the_best_backend_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = set()
    monkeypatch.setattr(reassembly_choice, 'objection', lambda name, *_: 'broken' if name in broken else None)
    cuda, cpu = torch.device('cuda'), torch.device('cpu')
    assert reassembly_choice.choose_backend(cpu, torch.float32) == 'torch'
    for name in ('triton', 'mmcv', 'torch'):
        assert reassembly_choice.choose_backend(cuda, torch.float32) == name
        broken.add(name)


def test_float64_and_what_mmcv_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly_choice, 'triton_problem', lambda: 'not installed')
    monkeypatch.setattr(reassembly_mmcv, '_problem', lambda: None)
    cuda = torch.device('cuda')
    assert reassembly_choice.choose_backend(cuda, torch.float16, masks=36) == 'mmcv'
    assert reassembly_choice.choose_backend(cuda, torch.float16, masks=400) == 'torch'
    assert reassembly_choice.choose_backend(cuda, torch.float64, masks=36) == 'torch'


def test_backends_are_told() -> None:
    for op in ('reassemble_up', 'reassemble_down'):
        assert BACKENDS[op]().startswith('torch on the CPU, ')


def test_torch_alone_is_enough(root: Path) -> None:
    """Without Triton and mmcv the ops import and compute, and say what is missing."""
    code = """
import sys
sys.modules.update(dict.fromkeys(['triton', 'mmcv', 'mmengine', 'mmdet', 'numpy']))
import torch
from mmagg.ops import BACKENDS, reassemble_up
assert reassemble_up(torch.ones(1, 2, 3, 3), torch.ones(1, 36, 3, 3)).sum() == 2 * 4 * 49
assert BACKENDS['reassemble_up']() == 'torch on the CPU, torch on CUDA', BACKENDS['reassemble_up']()
try:
    reassemble_up(torch.ones(1, 2, 3, 3), torch.ones(1, 36, 3, 3), backend='triton')
except RuntimeError as error:
    assert 'pip install triton' in str(error), error
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr


# Inside of PyTorch


def test_mistakes_of_who_calls_an_op_by_its_name() -> None:
    """The kernels for GPUs look nowhere where their pointers go."""
    x, kernels, ops = torch.zeros(2, 4, 6, 5), torch.zeros(2, 36, 6, 5), torch.ops.mmagg
    grad, ending = torch.zeros(2, 4, 12, 10), (1, 2, 1, 'torch')
    ops.reassemble_grad_x(grad, kernels, 6, 5, False, *ending)
    ops.reassemble_grad_kernels(grad, x, 36, torch.float32, *ending)
    for message, call in {
        '2 images in x, but 1 in kernels': lambda: ops.reassemble(x, kernels[:1], *ending),
        'kernels have 35 channels': lambda: ops.reassemble(x, kernels[:, :35], *ending),
        r'gradient of \(2, 4, 12, 9\)': lambda: ops.reassemble_grad_x(grad[..., :9], kernels, 6, 5, False, *ending),
        r'gradient of \(2, 3, 12, 10\)': lambda: ops.reassemble_grad_kernels(
            grad[:, :3], x, 36, torch.float32, *ending
        ),
        'kernels of 6 x 5, but x of 7 x 5': lambda: ops.reassemble_grad_x(grad, kernels, 7, 5, False, *ending),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_ops_keep_the_rules(steps: tuple[int, int]) -> None:
    """Shapes, strides and types on the meta device are those of the real thing."""
    x, kernels = (t.detach().float() for t in inputs(3, steps, 2, (5, 4)))
    arguments = *steps, 2, 'torch'
    for memory_format in LAYOUTS.values():
        x = x.contiguous(memory_format=memory_format)
        grad = reassemble(x, kernels, steps, 2)
        last = memory_format == torch.channels_last
        for op, values in {
            torch.ops.mmagg.reassemble: (x, kernels),
            torch.ops.mmagg.reassemble_grad_x: (grad, kernels, 5, 4, last),
            torch.ops.mmagg.reassemble_grad_kernels: (grad, x, kernels.shape[1], torch.float16),
        }.items():
            torch.library.opcheck(op.default, (*values, *arguments), test_utils=('test_schema', 'test_faketensor'))


def test_compiles_without_a_break() -> None:
    def run(x: Tensor, kernels: Tensor) -> Tensor:
        return reassemble_up(x.relu(), kernels.softmax(1)) + 1

    x, kernels = inputs(3, UP, 1, (4, 5), dtype=torch.float32)
    out, want = torch.compile(run, backend='aot_eager', fullgraph=True)(x, kernels), run(x, kernels)
    torch.testing.assert_close(out, want)
    for ours, theirs in zip(
        torch.autograd.grad(out.square().sum(), (x, kernels)),
        torch.autograd.grad(want.square().sum(), (x, kernels)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
