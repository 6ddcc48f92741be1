"""Content-aware reassembly, form by form, at the sizes of A2-FPN. PyTorch alone is imported."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmagg.apis.hardware import hardware, usable_device
from mmagg.costs.timing import clocked, compare, heading
from mmagg.ops import reassemble_down, reassemble_up, reassembly_choice

CHANNELS, K, STEP = 256, 5, 2  # A2-FPN's
LEVELS = {'P2': 4, 'P3': 8, 'P4': 16, 'P5': 32}  # and their strides
PASSES = ('forward', 'forward + backward')
CALLS_ON_GPU = 20  # of a timed run: a GPU is to be kept busy

Form = Callable[[Tensor, Tensor], Tensor]


def benchmark_reassembly(
    *, shape: tuple[int, int] = (800, 1344), batch: int = 2, runs: int = 3, device: str = 'cpu'
) -> dict[str, Any]:
    """Time and peak memory of `reassemble_up` and `reassemble_down` between all levels.

    Args:
        shape: (H, W) of an image.
        batch: images at once.
        runs: timed runs of each form, in turns.
        device: e.g. cuda:0; there float16 and bfloat16 are measured, too.

    Returns:
        `hardware`, `batch`, `shape`, `runs`; `copy_gib_per_s`, the speed of a copy; `absent`, backends that cannot run,
        and why; `results`, dicts: `op` ('up' or 'down'), `levels` (from which to which), `dtype`, `run` (one of
        `PASSES`), `form` (of each group, the first one is ours), `ms` (median time of a call), `mib` (peak memory above
        that of the inputs), `difference` (largest one to our outputs) and `gib_per_s` (bytes that must move, inputs and
        results, over the time).

    Raises:
        InputError: there is no such device.
    """
    place = usable_device(device)
    report: dict[str, Any] = {
        'hardware': hardware(place),
        'batch': batch,
        'shape': list(shape),
        'runs': runs,
        'copy_gib_per_s': copy_speed(place),
        'absent': absent(place),
        'results': [],
    }
    sizes = {name: tuple(-(-side // stride) for side in shape) for name, stride in LEVELS.items()}
    dtypes = (torch.float32, torch.float16, torch.bfloat16) if place.type == 'cuda' else (torch.float32,)
    work = list(product(dtypes, pairwise(LEVELS), ('up', 'down'), PASSES))
    for dtype, (fine, coarse), op, passed in tqdm(work, desc='cases', leave=False):
        start, end = (coarse, fine) if op == 'up' else (fine, coarse)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(batch, CHANNELS, *sizes[start], generator=generator)
        pixels = STEP**2 if op == 'up' else 1
        kernels = torch.randn(batch, K**2, pixels, *sizes[coarse], generator=generator).softmax(1).flatten(1, 2)
        x, kernels = (t.to(place, dtype).requires_grad_() for t in (x, kernels))
        case = {'op': op, 'levels': f'{start} → {end}', 'dtype': str(dtype).removeprefix('torch.'), 'run': passed}
        found = measured(forms(op, place, dtype), (x, kernels), runs, backward=passed != PASSES[0])
        report['results'] += [case | result for result in found]
    return report


# The forms


def forms(op: str, device: torch.device, dtype: torch.dtype) -> dict[str, Form]:
    """The forms to compare, by name; ours comes first."""
    ours = reassemble_up if op == 'up' else reassemble_down
    if device.type != 'cuda':
        if op == 'up':
            return {'mmagg': ours, 'unfold + einsum': unfolded_up}
        return {'mmagg': ours, 'unfold + einsum': unfolded_down, 'full resolution, slice': sliced_down}
    there = [name for name in ('triton', 'mmcv', 'torch') if name not in absent(device)]
    found: dict[str, Form] = {name: partial(ours, backend=name) for name in there}
    if 'mmcv' in found and op == 'up' and dtype != torch.bfloat16:  # which mmcv's op does not know
        found['mmcv'] = bare_carafe  # as mmcv's own users call it, without a conversion to float32
    return found


def absent(device: torch.device) -> dict[str, str]:
    """Backends that cannot run, and why."""
    reasons = {name: reassembly_choice.objection(name, device, torch.float32, 0) for name in ('triton', 'mmcv')}
    return {name: reason for name, reason in reasons.items() if reason}


def unfolded_up(x: Tensor, kernels: Tensor) -> Tensor:
    """`reassemble_up` with all neighbourhoods as one tensor (A2-FPN, Eq. 8): unfold, a product, a pixel shuffle."""
    k = isqrt(kernels.shape[1] // STEP**2)
    columns = F.unfold(x, k, padding=k // 2).view(*x.shape[:2], k**2, *x.shape[2:])
    kernels = kernels.unflatten(1, (k**2, STEP**2))
    return F.pixel_shuffle(torch.einsum('bckhw,bkshw->bcshw', columns, kernels).flatten(1, 2), STEP)


def unfolded_down(x: Tensor, kernels: Tensor) -> Tensor:
    """`reassemble_down` with all neighbourhoods as one tensor (A2-FPN, Eq. 12): unfold with a stride, a product."""
    k = isqrt(kernels.shape[1])
    columns = F.unfold(x, k, padding=k // 2, stride=STEP).view(*x.shape[:2], k**2, *kernels.shape[2:])
    return torch.einsum('bckhw,bkhw->bchw', columns, kernels)


def sliced_down(x: Tensor, kernels: Tensor) -> Tensor:
    """CARAFE at full resolution, of which a quarter is used."""
    kernels = kernels.repeat_interleave(STEP, 2).repeat_interleave(STEP, 3)[..., : x.shape[2], : x.shape[3]]
    return reassemble_down(x, kernels, stride=1)[..., ::STEP, ::STEP]


def bare_carafe(x: Tensor, kernels: Tensor) -> Tensor:
    """mmcv's op and the shuffle that it asks for."""
    from mmcv.ops import carafe

    return carafe(x, F.pixel_shuffle(kernels, STEP), K, 1, STEP)


# Measuring


def measured(
    forms: dict[str, Form], inputs: tuple[Tensor, Tensor], runs: int, *, backward: bool
) -> list[dict[str, Any]]:
    """`form`, `ms`, `mib`, `difference` and `gib_per_s` of every form in one pass."""
    device = inputs[0].device

    def call(form: Form) -> tuple[Tensor, ...]:
        with torch.set_grad_enabled(backward):
            out = form(*inputs)
        return (out.detach(), *torch.autograd.grad(out, inputs, out.detach())) if backward else (out,)

    results = call(next(iter(forms.values())))
    moved = sum(t.nbytes for t in (*inputs, *results))
    if backward:  # the inputs again, and the gradient that comes in
        moved += sum(t.nbytes for t in (*inputs, results[0]))
    del results
    calls = CALLS_ON_GPU if device.type == 'cuda' else 1
    found = compare({name: partial(call, form) for name, form in forms.items()}, device, runs, calls=calls)
    return [
        {'form': name}
        | {key: x[key] for key in ('ms', 'mib', 'difference')}
        | {'gib_per_s': 1e3 * moved / 2**30 / x['ms']}
        for name, x in found.items()
    ]


def copy_speed(device: torch.device) -> float:
    """GiB/s that a copy reads and writes."""
    source = torch.ones(2**28 if device.type == 'cuda' else 2**24, device=device)
    target = torch.zeros_like(source)
    calls = CALLS_ON_GPU if device.type == 'cuda' else 3
    best = min(clocked(lambda: target.copy_(source), device, calls)['rest'] for _ in range(3))
    return 1e3 * 2 * source.nbytes / 2**30 / best


def table(report: dict[str, Any]) -> str:
    """The report as text and a Markdown table."""
    machine = report['hardware']
    lines = [
        f'{heading(machine)}; a copy moves {report["copy_gib_per_s"]:.1f} GiB/s',
        f'work      {report["batch"]} images of {report["shape"][0]} × {report["shape"][1]}, {CHANNELS} channels, '
        f'{K} × {K} kernels; medians of {report["runs"]} runs',
        *(f'absent    {name}: {reason}' for name, reason in report['absent'].items() if machine['gpu']),
        '',
        '| op | levels | dtype | pass | form | ms | × first | MiB | × first | largest difference | of a copy |',
        '|---|---|---|---|---|---:|---:|---:|---:|---:|---:|',
    ]
    firsts: dict[str, dict[str, Any]] = {}
    for r in report['results']:
        case = ' | '.join(r[key] for key in ('op', 'levels', 'dtype', 'run'))
        first = firsts.setdefault(case, r)
        lines.append(
            f'| {case} | {r["form"]} | {r["ms"]:.3g} | {r["ms"] / first["ms"]:.2f} | {r["mib"]:.1f} '
            f'| {r["mib"] / first["mib"]:.2f} | {r["difference"]:.1e} '
            f'| {100 * r["gib_per_s"] / report["copy_gib_per_s"]:.0f} % |'
        )
    return '\n'.join(lines)
