"""The Triton kernels of reassembly: on a GPU, and in Triton's interpreter. `test_reassembly_kernels` compiles them.

The interpreter has to be chosen before Triton is imported, so a process of its own runs this file with
TRITON_INTERPRET=1.
"""

import os
import subprocess
import sys

import pytest
import torch
from reassembly_cases import DOWN, LAYOUTS, UP, agrees, inputs, reassemble

pytest.importorskip('triton', minversion='3.4')
from mmagg.ops import reassembly_launch

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cpu' if INTERPRETED else 'cuda'
CASES = [  # k, (stride, scale), groups, (H, W), images
    (3, UP, 1, (3, 4), 1),
    (5, UP, 1, (2, 3), 1),
    (3, DOWN, 2, (5, 7), 2),
    (5, DOWN, 1, (5, 4), 1),
    (1, UP, 2, (3, 34), 1),  # several tiles
    (3, DOWN, 1, (10, 67), 1),
    (1, (1, 3), 1, (2, 2), 1),
    (3, (3, 1), 1, (4, 5), 1),
]
GPU_CASES = [
    (5, UP, 1, (25, 42)),
    (5, DOWN, 1, (50, 84)),
    (5, DOWN, 2, (33, 65)),
    (5, UP, 4, (13, 21)),
    (3, UP, 1, (1, 1)),
    (7, DOWN, 1, (17, 40)),
]
# Triton's interpreter cuts bfloat16 off instead of rounding it.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def prepared(case: tuple, dtypes: tuple[torch.dtype, torch.dtype], layout: str, channels=2, batch=1) -> tuple:
    x, kernels = inputs(*case, channels=channels, batch=batch, dtype=torch.float32, device=DEVICE)
    x = x.detach().to(dtypes[0]).contiguous(memory_format=LAYOUTS[layout])
    return x.requires_grad_(), kernels.detach().to(dtypes[1]).requires_grad_()


def check(case: tuple, dtypes: tuple[torch.dtype, torch.dtype], layout: str, **options) -> None:
    x, kernels = prepared(case, dtypes, layout, **options)
    tolerance = max(TOLERANCE[dtype] for dtype in dtypes)
    agrees(x, kernels, *case[:3], 'triton', rtol=tolerance, atol=tolerance, check_dtype=False)


class TestOnDevice:
    """On a GPU or in the interpreter."""

    pytestmark = [] if INTERPRETED else [pytest.mark.gpu]

    @pytest.mark.parametrize('case', CASES, ids=str)
    def test_equals_the_definition(self, case: tuple) -> None:
        check(case[:4], (torch.float32, torch.float32), 'contiguous', batch=case[4])

    @pytest.mark.parametrize('steps', [UP, DOWN])
    def test_channels_last(self, steps: tuple[int, int]) -> None:
        check((3, steps, 1, (2, 3)), (torch.float32, torch.float32), 'channels_last')

    @pytest.mark.parametrize('steps', [UP, DOWN])
    @pytest.mark.parametrize(
        'dtypes',
        [(torch.float16, torch.float16), (torch.bfloat16, torch.float32)],
        ids=str,
    )
    def test_dtypes(self, dtypes: tuple[torch.dtype, torch.dtype], steps: tuple[int, int]) -> None:
        check((1 if steps == UP else 3, steps, 1, (3, 3)), dtypes, 'contiguous')

    @pytest.mark.parametrize('steps', [UP, DOWN])
    def test_gradients_that_lie_strangely(self, steps: tuple[int, int]) -> None:
        """Expanded ones, and ones of which pairs are not aligned."""
        x, kernels = prepared((1 if steps == UP else 3, steps, 1, (3, 4)), (torch.float32, torch.float32), 'contiguous')
        out = reassemble(x, kernels, steps, 1, 'triton')
        want = reassemble(x, kernels, steps, 1, 'torch')
        odd = torch.randn(*out.shape[:3], out.shape[3] + 1, device=DEVICE)[..., 1:]
        for grad in (torch.ones(1, device=DEVICE).expand(out.shape), odd):
            for ours, theirs in zip(
                torch.autograd.grad(out, (x, kernels), grad, retain_graph=True),
                torch.autograd.grad(want, (x, kernels), grad, retain_graph=True),
                strict=True,
            ):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize('layout', LAYOUTS)
    @pytest.mark.parametrize(
        'case',
        [
            (3, UP, 1, (2, 8)),  # a thread takes 2 points in float32, 4 in float16
            (3, DOWN, 1, (3, 16)),
            (5, (1, 1), 1, (1, 8)),  # 4, 8
        ],
        ids=str,
    )
    @pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
    def test_vectors(self, dtype: torch.dtype, case: tuple, layout: str) -> None:
        """Points side by side, and channels side by side, that a thread reads at once."""
        check(case, (dtype, dtype), layout, channels=2 if layout == 'contiguous' else 8)

    @pytest.mark.parametrize('case', [(3, UP, 1, (2, 4)), (3, DOWN, 2, (3, 5))], ids=str)
    def test_offsets_of_64_bits(self, case: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reassembly_launch, 'LARGEST', 0)
        check(case, (torch.float32, torch.float32), 'contiguous')

    def test_more_channels_than_a_program_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reassembly_launch, 'PROGRAMS', 3)
        check((1, DOWN, 2, (3, 4)), (torch.float32, torch.float32), 'contiguous', channels=48)


@pytest.mark.gpu
@pytest.mark.parametrize('case', GPU_CASES, ids=str)
@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_larger(case: tuple, layout: str, dtype: torch.dtype) -> None:
    """At sizes that the interpreter cannot reach, against the torch form."""
    stride_scale, groups = case[1:3]
    x, kernels = prepared(case, (dtype, torch.float32), layout, channels=48, batch=2)
    results = []
    for backend in ('triton', 'torch'):
        out = reassemble(x, kernels, stride_scale, groups, backend)
        results.append((out, *torch.autograd.grad(out, (x, kernels), torch.ones_like(out) + out.detach())))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE[dtype], atol=20 * TOLERANCE[dtype])
        assert ours.stride() == theirs.stride()


@pytest.mark.gpu
def test_results_do_not_vary() -> None:
    x, kernels = prepared((5, UP, 1, (50, 84)), (torch.float16, torch.float16), 'contiguous', channels=256, batch=2)

    def run() -> tuple[torch.Tensor, ...]:
        out = reassemble(x, kernels, UP, 1, 'triton')
        return out, *torch.autograd.grad(out.float().square().sum(), (x, kernels))

    first = run()
    assert all(torch.equal(a, b) for _ in range(5) for a, b in zip(first, run(), strict=True))


@pytest.mark.skipif(INTERPRETED, reason='already there')
def test_in_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', __file__],
        env=os.environ | {'TRITON_INTERPRET': '1', 'MMAGG_REASSEMBLY': ''},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert 'passed' in done.stdout
