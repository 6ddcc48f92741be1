"""What content-aware reassembly costs, form by form, as ``tools/analysis/benchmark_reassembly.py`` offers it."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmagg.apis.hardware import hardware
from mmagg.cli.arguments import positive
from mmagg.costs.memory import MIB, MemoryMeter
from mmagg.costs.unfolded_reassembly import unfolded_down, unfolded_up
from mmagg.io.errors import InputError
from mmagg.io.files import write_json
from mmagg.ops import reassemble_down, reassemble_up, reassembly

CHANNELS, K, STEP = 256, 5, 2  # A2-FPN's
LEVELS = {'P2': 4, 'P3': 8, 'P4': 16, 'P5': 32}  # and their strides
PASSES = ('forward', 'forward + backward')
CALLS_ON_GPU = 20  # of a timed run: a GPU is to be kept busy

Form = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Result:
    """What one form took.

    Attributes:
        op: 'up' or 'down'.
        levels: from which to which.
        dtype: of features and kernels.
        run: one of `PASSES`.
        form: how it was computed; of each group, the first one is ours.
        ms: median time of a call.
        mib: peak memory above that of the inputs.
        difference: largest one between the outputs of this form and ours.
        gib_per_s: bytes that must move, inputs and results, over the time.
    """

    op: str
    levels: str
    dtype: str
    run: str
    form: str
    ms: float
    mib: float
    difference: float
    gib_per_s: float


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_reassembly.py``."""
    parser = argparse.ArgumentParser(
        description=f'Time and peak memory of content-aware reassembly, up and down by {STEP}, at the sizes of '
        f'A2-FPN ({CHANNELS} channels, {K} x {K} kernels, P2 to P5). On the CPU the form of mmagg is compared with '
        'unfolding and with a pass at full resolution; on a GPU the Triton kernels with mmcv and PyTorch, in float32, '
        'float16 and bfloat16. The last column relates the bytes that must move at least to the speed of a copy.',
        epilog='example: python tools/analysis/benchmark_reassembly.py --device cuda --json reassembly.json',
    )
    parser.add_argument('--device', default='cpu', help='e.g. cuda:0 (%(default)s)')
    parser.add_argument(
        '--shape', type=positive, nargs=2, default=(800, 1344), metavar=('H', 'W'), help='size of an image (800 1344)'
    )
    parser.add_argument('--batch', type=positive, default=2, metavar='B', help='images at once (%(default)s)')
    parser.add_argument(
        '--runs', type=positive, default=3, metavar='R', help='timed runs of each form, in turns (%(default)s)'
    )
    parser.add_argument('--threads', type=positive, metavar='T', help='CPU threads of PyTorch')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything measured here as well')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if args.json is not None and args.json.is_dir():
        raise InputError(f'--json {args.json}: is a folder, name a file')
    try:
        device = torch.empty(0, device=args.device).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f'--device {args.device}: {str(error).splitlines()[0]}') from error
    if args.threads:
        torch.set_num_threads(args.threads)
    report = {
        'hardware': hardware(args.device),
        'batch': args.batch,
        'shape': list(args.shape),
        'runs': args.runs,
        'copy_gib_per_s': copy_speed(device),
        'absent': absent(device),
        'results': [],
    }
    work = list(cases(tuple(args.shape), device))
    with tqdm(total=len(work) * len(PASSES), desc='benchmark', leave=False) as bar:
        for op, levels, dtype, (size, grid) in work:
            inputs = random_inputs(op, args.batch, size, grid, device, dtype)
            for run in PASSES:
                labels = op, levels, str(dtype).removeprefix('torch.'), run
                report['results'] += measure(labels, forms(op, device, dtype), inputs, args.runs)
                bar.update()
    print(table(report))
    if args.json is not None:
        write_json(report | {'results': [asdict(result) for result in report['results']]}, args.json)
        print(f'written to {args.json}')


def cases(
    shape: tuple[int, int], device: torch.device
) -> Iterator[tuple[str, str, torch.dtype, tuple[tuple[int, int], tuple[int, int]]]]:
    """Op, levels, dtype, size of the features and size of the grid of kernels."""
    names = list(LEVELS)
    sizes = {name: tuple(-(-side // stride) for side in shape) for name, stride in LEVELS.items()}
    for dtype in (torch.float32, torch.float16, torch.bfloat16) if device.type == 'cuda' else (torch.float32,):
        for fine, coarse in pairwise(names):
            yield 'up', f'{coarse} → {fine}', dtype, (sizes[coarse], sizes[coarse])
            yield 'down', f'{fine} → {coarse}', dtype, (sizes[fine], sizes[coarse])


def random_inputs(
    op: str, batch: int, size: tuple[int, int], grid: tuple[int, int], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Features and normalised kernels that want gradients."""
    generator = torch.Generator().manual_seed(0)
    pixels = STEP**2 if op == 'up' else 1
    x = torch.randn(batch, CHANNELS, *size, generator=generator)
    kernels = torch.randn(batch, K**2, pixels, *grid, generator=generator).softmax(1).flatten(1, 2)
    return tuple(t.to(device, dtype).requires_grad_() for t in (x, kernels))


# The forms


def forms(op: str, device: torch.device, dtype: torch.dtype) -> dict[str, Form]:
    """What is compared; ours comes first."""
    ours = reassemble_up if op == 'up' else reassemble_down
    if device.type != 'cuda':
        others = {'unfold + einsum': unfolded_up if op == 'up' else unfolded_down}
        return {'mmagg': ours} | others | ({} if op == 'up' else {'full resolution, slice': sliced_down})
    found = {name: None for name in ('triton', 'mmcv', 'torch') if name not in absent(device)}
    for name in found:
        found[name] = lambda x, kernels, name=name: ours(x, kernels, backend=name)
    if 'mmcv' in found and op == 'up' and dtype != torch.bfloat16:  # which mmcv's op does not know
        found['mmcv'] = bare_carafe  # as mmcv's own users call it, without a conversion to float32
    return found


def absent(device: torch.device) -> dict[str, str]:
    """Backends that cannot run, and why."""
    reasons = {name: reassembly.objection(name, device, torch.float32, 0) for name in ('triton', 'mmcv')}
    return {name: reason for name, reason in reasons.items() if reason}


def sliced_down(x: Tensor, kernels: Tensor) -> Tensor:
    """CARAFE at full resolution, of which a quarter is used."""
    kernels = kernels.repeat_interleave(STEP, 2).repeat_interleave(STEP, 3)[..., : x.shape[2], : x.shape[3]]
    return reassemble_down(x, kernels, stride=1)[..., ::STEP, ::STEP]


def bare_carafe(x: Tensor, kernels: Tensor) -> Tensor:
    """mmcv's op and the shuffle that it asks for."""
    from mmcv.ops import carafe

    return carafe(x, F.pixel_shuffle(kernels, STEP), K, 1, STEP)


# Measuring


def measure(
    labels: tuple[str, str, str, str], forms: dict[str, Form], inputs: tuple[Tensor, Tensor], runs: int
) -> list[Result]:
    """Time and memory of every form in one pass."""
    device, backward = inputs[0].device, labels[-1] != PASSES[0]

    def call(form: Form) -> tuple[Tensor, ...]:
        with torch.set_grad_enabled(backward):
            out = form(*inputs)
        return (out.detach(), *torch.autograd.grad(out, inputs, out.detach())) if backward else (out,)

    differences, memory = {}, {}
    ours = call(next(iter(forms.values())))
    for name, form in forms.items():
        theirs = call(form)  # warms up
        differences[name] = max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))
        del theirs
        with MemoryMeter(device) as meter:
            call(form)
        memory[name] = meter.peak() / MIB
    moved = sum(t.nbytes for t in (*inputs, *ours))
    if backward:  # the inputs again, and the gradient that comes in
        moved += sum(t.nbytes for t in (*inputs, ours[0]))
    del ours
    calls = CALLS_ON_GPU if device.type == 'cuda' else 1
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(runs):
        for name, form in forms.items():
            seconds[name].append(timed(lambda form=form: call(form), device, calls))
    return [
        Result(*labels, name, 1e3 * median(times), memory[name], differences[name], moved / 2**30 / median(times))
        for name, times in seconds.items()
    ]


def timed(run: Callable[[], object], device: torch.device, calls: int) -> float:
    """Seconds of a call, of several in a row."""
    wait = torch.cuda.synchronize if device.type == 'cuda' else lambda: None
    wait()
    start = perf_counter()
    for _ in range(calls):
        run()
    wait()
    return (perf_counter() - start) / calls


def copy_speed(device: torch.device) -> float:
    """GiB/s that a copy reads and writes."""
    source = torch.ones(2**28 if device.type == 'cuda' else 2**24, device=device)
    target = torch.zeros_like(source)
    calls = CALLS_ON_GPU if device.type == 'cuda' else 3
    best = min(timed(lambda: target.copy_(source), device, calls) for _ in range(3))
    return 2 * source.nbytes / 2**30 / best


# Printing


def table(report: dict) -> str:
    """The report as text and a Markdown table."""
    machine = report['hardware']
    lines = [
        f'hardware  {machine["gpu"] or machine["cpu"]}, {machine["threads"]} threads, torch {machine["torch"]}; a copy '
        f'moves {report["copy_gib_per_s"]:.1f} GiB/s',
        f'work      {report["batch"]} images of {report["shape"][0]} × {report["shape"][1]}, {CHANNELS} channels, '
        f'{K} × {K} kernels; medians of {report["runs"]} runs',
        *(f'absent    {name}: {reason}' for name, reason in report['absent'].items() if machine['gpu']),
        '',
        '| op | levels | dtype | pass | form | ms | × first | MiB | × first | largest difference | of a copy |',
        '|---|---|---|---|---|---:|---:|---:|---:|---:|---:|',
    ]
    first = None
    for r in report['results']:
        case = r.op, r.levels, r.dtype, r.run
        if first is None or case != (first.op, first.levels, first.dtype, first.run):
            first = r
        lines.append(
            f'| {" | ".join(case)} | {r.form} | {r.ms:.3g} | {r.ms / first.ms:.2f} | {r.mib:.1f} '
            f'| {r.mib / first.mib:.2f} | {r.difference:.1e} | {100 * r.gib_per_s / report["copy_gib_per_s"]:.0f} % |'
        )
    return '\n'.join(lines)
