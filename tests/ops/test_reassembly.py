"""Content-aware reassembly against its definition written out pixel by pixel, and against convolutions."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.analysis.memory import MemoryMeter
from mmagg.ops import BACKENDS, reassemble_down, reassemble_up, reassembly, reassembly_mmcv, reassembly_torch

UP, DOWN = (1, 2), (2, 1)  # stride, scale
CASES = [  # k, (stride, scale), groups, (H, W)
    (5, UP, 1, (5, 7)),
    (5, DOWN, 1, (5, 7)),
    (3, UP, 2, (4, 3)),
    (3, DOWN, 2, (6, 5)),
    (1, UP, 1, (2, 3)),
    (1, DOWN, 2, (3, 4)),
    (3, (1, 3), 1, (3, 2)),
    (5, (3, 1), 2, (7, 8)),
    (3, (1, 1), 1, (3, 4)),
    (5, UP, 1, (1, 1)),
    (5, DOWN, 1, (1, 1)),
    (7, (4, 1), 1, (2, 9)),
]
LAYOUTS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}


def inputs(k, steps, groups, size, *, channels=4, batch=2, dtype=torch.float64, device='cpu') -> tuple[Tensor, Tensor]:
    """Random x and kernels that need gradients."""
    stride, scale = steps
    grid = (-(-n // stride) for n in size)
    x = torch.randn(batch, channels, *size).to(device, dtype)
    kernels = torch.randn(batch, groups * k**2 * scale**2, *grid).to(device, dtype)
    return x.requires_grad_(), kernels.requires_grad_()


def reassemble(x, kernels, steps, groups, backend=None) -> Tensor:
    stride, scale = steps
    if stride == 1:
        return reassemble_up(x, kernels, scale=scale, groups=groups, backend=backend)
    return reassemble_down(x, kernels, stride=stride, groups=groups, backend=backend)


def naive(x, kernels, k, steps, groups) -> Tensor:
    """The definition, in float64, differentiable."""
    (stride, scale), (h, w) = steps, kernels.shape[2:]
    width = x.shape[1] // groups
    padded = F.pad(x.double(), (k // 2,) * 4)
    kernels = kernels.double().view(-1, groups, k, k, scale, scale, h, w)
    rows = []
    for bottom in range(scale * h):
        pixels = []
        for right in range(scale * w):
            (y, i), (x_, j) = divmod(bottom, scale), divmod(right, scale)
            patch = padded[:, :, stride * y : stride * y + k, stride * x_ : stride * x_ + k]
            weights = kernels[..., i, j, y, x_].repeat_interleave(width, 1)
            pixels.append((patch * weights).sum((2, 3)))
        rows.append(torch.stack(pixels, 2))
    return torch.stack(rows, 2)


def agrees(x, kernels, k, steps, groups, backend=None, **tolerance) -> None:
    """Output and both gradients equal the definition's."""
    out, want = reassemble(x, kernels, steps, groups, backend), naive(x, kernels, k, steps, groups)
    assert out.dtype == x.dtype
    torch.testing.assert_close(out.double(), want, **tolerance)
    grad = torch.randn_like(out)
    grads = torch.autograd.grad(out, (x, kernels), grad)
    for ours, theirs, of in zip(
        grads, torch.autograd.grad(want, (x, kernels), grad.double()), (x, kernels), strict=True
    ):
        assert ours.dtype == of.dtype
        torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.fixture(autouse=True)
def _nothing_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MMAGG_REASSEMBLY', raising=False)


@pytest.fixture
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly_torch, 'CPU_BLOCK', 100)


# The definition


@pytest.mark.parametrize('case', CASES, ids=str)
@pytest.mark.parametrize('layout', LAYOUTS)
def test_equals_the_definition(case: tuple, layout: str) -> None:
    x, kernels = inputs(*case)
    x = x.detach().contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    agrees(x, kernels, *case[:3])


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('steps', [UP, DOWN])
@pytest.mark.usefixtures('tiny_blocks')
def test_blocks_join(steps: tuple[int, int], layout: str) -> None:
    x, kernels = inputs(5, steps, 2, (9, 6), channels=6)
    x = x.detach().contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    agrees(x, kernels, 5, steps, 2)


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_gradients_by_finite_differences(steps: tuple[int, int]) -> None:
    x, kernels = inputs(3, steps, 2, (2, 3), channels=2, batch=1)
    assert torch.autograd.gradcheck(lambda x, kernels: reassemble(x, kernels, steps, 2), (x, kernels))


def test_odd_sizes() -> None:
    x, kernels = inputs(5, DOWN, 1, (33, 65), channels=1, batch=1)
    agrees(x, kernels, 5, DOWN, 1)
    assert reassemble_down(torch.zeros(1, 2, 25, 42), torch.zeros(1, 25, 13, 21)).shape == (1, 2, 13, 21)


@pytest.mark.parametrize('stride', [1, 2, 3])
def test_the_same_kernel_everywhere_is_a_convolution(stride: int) -> None:
    x, weight = torch.randn(2, 3, 8, 7), torch.randn(5, 5)
    want = F.conv2d(x, weight.expand(3, 1, 5, 5), stride=stride, padding=2, groups=3)
    kernels = weight.reshape(1, 25, 1, 1).expand(2, 25, *want.shape[2:])
    torch.testing.assert_close(reassemble_down(x, kernels, stride=stride), want)


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_strange_memory(steps: tuple[int, int]) -> None:
    """Views, transposed maps, expanded gradients."""
    x, kernels = torch.randn(4, 7, 2, 8).permute(2, 0, 3, 1)[:, ::2, 1:6], torch.randn(2, 5, 7, 40)
    kernels = kernels[..., : 9 * steps[1] ** 2].permute(0, 3, 1, 2)
    grid = tuple(-(-n // steps[0]) for n in x.shape[2:])
    x, kernels = x.requires_grad_(), kernels[:, :, : grid[0], : grid[1]].requires_grad_()
    out = reassemble(x, kernels, steps, 1)
    want = naive(x, kernels, 3, steps, 1)
    torch.testing.assert_close(out, want.float())
    for ours, theirs in zip(
        torch.autograd.grad(out.sum(), (x, kernels)), torch.autograd.grad(want.sum(), (x, kernels)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('shape', [(0, 4, 6, 5), (2, 0, 6, 5), (2, 4, 0, 5), (2, 4, 6, 0)])
@pytest.mark.parametrize('steps', [UP, DOWN])
def test_nothing(shape: tuple[int, ...], steps: tuple[int, int]) -> None:
    batch, channels, *size = shape
    x, kernels = inputs(3, steps, 1, size, channels=channels, batch=batch)
    out = reassemble(x, kernels, steps, 1)
    assert out.shape == (batch, channels, *(steps[1] * n for n in kernels.shape[2:]))
    for grad in torch.autograd.grad(out.sum(), (x, kernels)):
        assert not grad.any()


# Types and layouts


@pytest.mark.parametrize('steps', [UP, DOWN])
@pytest.mark.parametrize(
    ('dtypes', 'tolerance'),
    [
        ((torch.float32, torch.float32), 1e-5),
        ((torch.float16, torch.float16), 1e-3),
        ((torch.bfloat16, torch.bfloat16), 8e-3),
        ((torch.bfloat16, torch.float32), 8e-3),
        ((torch.float32, torch.float16), 1e-3),
        ((torch.float32, torch.float64), 1e-6),
    ],
)
def test_dtypes(dtypes: tuple[torch.dtype, torch.dtype], tolerance: float, steps: tuple[int, int]) -> None:
    x, kernels = inputs(5, steps, 2, (5, 6))
    x, kernels = (t.detach().to(d).requires_grad_() for t, d in zip((x, kernels), dtypes, strict=True))
    agrees(x, kernels, 5, steps, 2, rtol=tolerance, atol=tolerance, check_dtype=False)


def test_sums_are_float32() -> None:
    """In float16, adding 1 to 2048 changes nothing."""
    x = torch.ones(1, 1, 7, 7, dtype=torch.float16)
    x[0, 0, 1, 1] = 2048
    kernels = torch.ones(1, 25, 7, 7, dtype=torch.float16)
    assert reassemble_down(x, kernels, stride=1)[0, 0, 3, 3] == 2048 + 24


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_layout_is_kept(steps: tuple[int, int]) -> None:
    x, kernels = inputs(3, steps, 1, (5, 6))
    for memory_format in LAYOUTS.values():
        x = x.detach().contiguous(memory_format=memory_format).requires_grad_()
        out = reassemble(x, kernels, steps, 1)
        (grad,) = torch.autograd.grad(out.square().sum(), x)
        assert out.is_contiguous(memory_format=memory_format)
        assert grad.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_under_autocast(steps: tuple[int, int]) -> None:
    """Features and kernels as convolutions and a softmax leave them; gradients reach the weights."""
    images = torch.randn(1, 3, 6, 5)
    scale, stride = steps[1], steps[0]
    features = torch.nn.Conv2d(3, 4, 1)
    predictor = torch.nn.Conv2d(3, 9 * scale**2, 3, stride=stride, padding=1)

    def run(enabled: bool) -> tuple[Tensor, ...]:
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            kernels = predictor(images).unflatten(1, (9, -1)).float().softmax(1).flatten(1, 2)
            out = reassemble(features(images), kernels, steps, 1)
        assert out.dtype == (torch.bfloat16 if enabled else torch.float32)
        return out, *torch.autograd.grad(out.float().square().sum(), (features.weight, predictor.weight))

    for ours, theirs in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05, check_dtype=False)


# Memory


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_keeps_its_inputs_only(steps: tuple[int, int]) -> None:
    def saved(x: Tensor, kernels: Tensor) -> set[int]:
        kept = set()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.add(t.data_ptr()), lambda _: None):
            reassemble(x, kernels, steps, 1)
        return kept

    x, kernels = inputs(3, steps, 1, (4, 4))
    assert saved(x, kernels) == {x.data_ptr(), kernels.data_ptr()}
    assert saved(x.detach(), kernels) == {x.data_ptr()}
    assert saved(x, kernels.detach()) == {kernels.data_ptr()}


@pytest.mark.parametrize('steps', [UP, DOWN])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_memory_is_bounded(steps: tuple[int, int], layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results and a block; unfolding would take 25 times what is read."""
    monkeypatch.setattr(reassembly_torch, 'CPU_BLOCK', 2**14)
    x, kernels = inputs(5, steps, 1, (16, 32), channels=128, batch=1, dtype=torch.float32)
    x = x.detach().contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    with MemoryMeter() as meter:
        out = reassemble(x, kernels, steps, 1)
        meter.mark('backward')
        torch.autograd.grad(out, (x, kernels), torch.ones_like(out))
    block = 6 * 2**14 * torch.get_num_threads()  # with products
    assert meter.peak(until='backward') <= out.nbytes + block
    assert meter.peak('backward') <= out.nbytes + x.nbytes + 2 * kernels.nbytes + block


def test_small_maps_need_little() -> None:
    """Blocks are no larger than what there is."""
    x, kernels = inputs(5, DOWN, 1, (8, 8), dtype=torch.float32)
    with MemoryMeter() as meter:
        reassemble(x, kernels, DOWN, 1)
    assert meter.peak() <= 4 * x.nbytes


# mmcv's CARAFE, whose CUDA kernel a plain form stands in for


def carafe(features: Tensor, masks: Tensor, k: int, groups: int, scale: int) -> Tensor:
    """What mmcv's op of this name computes."""
    b, c, h, w = features.shape
    columns = F.unfold(features, k, padding=k // 2).view(b, c * k * k, h, w)
    columns = columns.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    columns = columns.view(b, groups, c // groups, k * k, scale * h, scale * w)
    masks = masks.view(b, groups, 1, k * k, scale * h, scale * w)
    return (columns * masks).sum(3).flatten(1, 2)


def test_upsampling_is_carafe() -> None:
    x, kernels = inputs(5, UP, 2, (4, 5))
    want = carafe(x, F.pixel_shuffle(kernels, 2), 5, 2, 2)
    torch.testing.assert_close(reassemble_up(x, kernels, groups=2), want)
    torch.testing.assert_close(reassembly_mmcv.up(x.float(), kernels, 2, 2, carafe), want.float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('case', [case for case in CASES if case[1][1] == 1], ids=str)
def test_downsampling_by_carafe_of_phases(case: tuple) -> None:
    k, (stride, _), groups, _ = case
    x, kernels = (t.detach().float() for t in inputs(*case))
    used = []

    def spy(features: Tensor, masks: Tensor, *rest: int) -> Tensor:
        used.append(masks)
        return carafe(features, masks, *rest)

    out = reassembly_mmcv.down(x, kernels, stride, groups, spy)
    torch.testing.assert_close(out.double(), naive(x, kernels, *case[:3]), rtol=1e-5, atol=1e-5)
    assert used[0].shape[1] == reassembly_mmcv.number_of_masks(kernels.shape[1], stride, 1, groups)
    if (k, stride, groups) == (5, 2, 1):
        assert used[0].shape[1] == 4 * 9
        assert (used[0] == 0).all((0, 2, 3)).sum() == 11


@pytest.mark.gpu
@pytest.mark.parametrize('backend', ['mmcv', 'torch'])
@pytest.mark.parametrize('steps', [UP, DOWN])
def test_on_cuda(backend: str, steps: tuple[int, int]) -> None:
    device = torch.device('cuda')
    reason = reassembly.objection(backend, device, torch.float32, 0)
    if reason:
        pytest.skip(reason)
    x, kernels = inputs(5, steps, 2, (9, 10), channels=64, dtype=torch.float32, device=device)
    agrees(x, kernels, 5, steps, 2, backend, rtol=1e-4, atol=1e-4, check_dtype=False)


# Choosing


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
    monkeypatch.setattr(reassembly, 'objection', lambda name, *_: 'broken' if name in broken else None)
    cuda, cpu = torch.device('cuda'), torch.device('cpu')
    assert reassembly.choose_backend(cpu, torch.float32) == 'torch'
    for name in ('triton', 'mmcv', 'torch'):
        assert reassembly.choose_backend(cuda, torch.float32) == name
        broken.add(name)


def test_float64_and_what_mmcv_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly, 'triton_problem', lambda: 'not installed')
    monkeypatch.setattr(reassembly_mmcv, '_problem', lambda: None)
    cuda = torch.device('cuda')
    assert reassembly.choose_backend(cuda, torch.float16, masks=36) == 'mmcv'
    assert reassembly.choose_backend(cuda, torch.float16, masks=400) == 'torch'
    assert reassembly.choose_backend(cuda, torch.float64, masks=36) == 'torch'


def test_backends_are_told() -> None:
    assert set(BACKENDS) == {'reassemble_up', 'reassemble_down'}
    for told in BACKENDS.values():
        assert told().startswith('torch on the CPU, ')


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
