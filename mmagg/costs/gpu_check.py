"""What a GPU does with mmagg, in at most ten minutes, as one Markdown table: `tools/gpu_check.sh`.

Each part is a process of its own with a time limit, so that one that fails, or takes too long, costs its rows alone.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mmagg.apis.hardware import hardware, usable_device
from mmagg.io.errors import InputError
from mmagg.io.files import check_file, written_whole

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 570  # of all parts
SHAPE = 800, 1344
FAILED = 10  # tests that are named
RUNS = 5
WAITS = {'grid': 20, 'boxed': 12, 'train': 6}  # at most: of a prediction, of a training step
COPY = {'float32': 90, 'float16': 55, 'bfloat16': 55}  # per cent that the reassembly's forward pass can reach
HEAD = '| part | case | measured | wanted |\n|---|---|---|---|'


Row = tuple[str, str, str, str]  # part, case, measured, wanted


class Family(NamedTuple):
    """A config, the kind of its masks, and MMDetection's config to compare with."""

    config: str
    masks: str
    theirs: str | None = None


SOLO, DECOUPLED, SOLOV2 = (
    f'mmdet::{name}_r50_fpn_1x_coco.py' for name in ('solo/solo', 'solo/decoupled-solo', 'solov2/solov2')
)
CONDINST = 'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py'
FAMILIES = {  # those first whose figures are wanted most
    'SOLO': Family('solo/solo_r50_fpn_1x_coco.py', 'grid', SOLO),
    'SOLOv2': Family('solov2/solov2_r50_fpn_1x_coco.py', 'grid', SOLOV2),
    'AggMask on SOLO': Family('aggmask/aggmask-solo_r50_fpn_3x_coco.py', 'grid'),
    'BlendMask': Family('blendmask/blendmask_r50_fpn_1x_coco.py', 'boxed', CONDINST),
    'MEInst': Family('meinst/meinst_r50_fpn_1x_coco.py', 'boxed'),
    'AggMask on SOLOv2': Family('aggmask/aggmask-solov2_r50_fpn_6x_coco.py', 'grid'),
    'Decoupled SOLO': Family('solo/decoupled-solo_r50_fpn_1x_coco.py', 'grid', DECOUPLED),
    'SOLO with A²-FPN': Family('a2fpn/solo_r50_a2fpn_3x_coco.py', 'grid'),
}


class Check:
    """The parts of a check, and the time that is left for them.

    Args:
        device: e.g. cuda:0.
        shape: (H, W) of images.
        seconds: of all parts.
    """

    def __init__(self, *, device: str, shape: tuple[int, int], seconds: float) -> None:
        self.device, self.shape = device, shape
        self.end = time.monotonic() + seconds

    def rows(self) -> Iterator[Row]:
        """All rows, as they come."""
        machine = hardware(self.device)
        yield 'machine', machine['gpu'] or machine['cpu'], f'torch {machine["torch"]}, Python {machine["python"]}', ''
        yield from self.tests()
        yield from self.reassembly()
        yield from self.aggregation()
        for name, family in FAMILIES.items():
            yield from self.family(name, family)

    def tests(self) -> Iterator[Row]:
        """The tests marked gpu."""
        words = [sys.executable, '-m', 'pytest', '-q', '-m', 'gpu', '-p', 'no:cacheprovider', str(ROOT / 'tests')]
        printed, code = self.run(words, 240)
        last = re.findall(r'^(?:=+ )?(\d+ \w+.*) in [\d.]+s', printed, re.MULTILINE)
        yield 'tests', '`-m gpu`', last[-1] if last else failure(printed, code), '0 failed'
        for test in re.findall(r'^(?:FAILED|ERROR) (.+?)(?: - .*)?$', printed, re.MULTILINE)[:FAILED]:
            yield 'tests', f'`{test.replace("|", "/")}`', 'failed', 'passed'

    def reassembly(self) -> Iterator[Row]:
        """Forms of the reassembly between the two finest levels, and the time of all levels."""
        report = self.report('reassembly', {'shape': self.shape, 'device': self.device, 'runs': 2}, 120)
        if 'error' in report:
            yield 'reassembly', 'all', report['error'], ''
        for r in report.get('results', ()):
            if 'P2' in r['levels']:
                share = 100 * r['gib_per_s'] / report['copy_gib_per_s']
                wanted = f'≥ {COPY[r["dtype"]]} %' if r['run'] == 'forward' and r['form'] == 'triton' else ''
                case = f'{r["op"]} {r["levels"]}, {r["dtype"]}, {r["run"]}, {r["form"]}'
                yield 'reassembly', case, f'{r["ms"]:.3g} ms, {share:.0f} % of a copy', wanted

    def aggregation(self) -> Iterator[Row]:
        """AggMask's nets alone."""
        shape = tuple(side // 4 for side in self.shape)
        report = self.report('aggregation', {'shape': shape, 'device': self.device, 'runs': 3}, 60)
        if 'error' in report:
            yield 'aggregation', 'all', report['error'], ''
        for form, r in report.get('forms', {}).items():
            yield 'aggregation', f'{report["candidates"]} masks, {form}', f'{r["ms"]:.3g} ms, {r["mib"]:.0f} MiB', ''

    def family(self, name: str, family: Family) -> Iterator[Row]:
        """Prediction and training of a family, and of MMDetection's heads."""
        config = str(ROOT / 'configs' / family.config)
        yield from self.model(name, config, {'predict': WAITS[family.masks], 'train': WAITS['train']})
        if family.theirs:
            yield from self.model(family.theirs.partition('_')[0], family.theirs, {})

    def model(self, name: str, config: str, most: dict[str, int]) -> Iterator[Row]:
        """Prediction and training of a config, in which there may be at most so many waits."""
        found = self.report('model', {'config': config, 'device': self.device, 'shape': self.shape}, 60)
        if 'error' in found:
            yield 'model', name, found['error'], ''
            return
        for part, one in found.items():
            limit = most.get(part)
            yield 'model', f'{name}, {part}', in_words(one), '' if limit is None else f'≤ {limit} waits'
            if limit is not None and one['waits'] > limit:
                for place in one['places']:
                    yield 'model', f'{name}, {part}: a wait', f'`{place}`', ''

    def report(self, part: str, options: dict[str, Any], seconds: float) -> dict[str, Any]:
        """What a part of `PARTS` returns in a process of its own; 'error' says why there is nothing."""
        with tempfile.TemporaryDirectory(prefix='mmagg-') as folder:
            file = Path(folder, 'report.json')
            words = [sys.executable, '-m', 'mmagg.costs.gpu_check', '--part', part, json.dumps(options), str(file)]
            printed, code = self.run(words, seconds)
            if file.exists():
                return json.loads(file.read_text())
            return {'error': failure(printed, code)}

    def run(self, words: list[str], seconds: float) -> tuple[str, int | None]:
        """What a command prints, and its exit code; None where time was over."""
        left = min(seconds, self.end - time.monotonic())
        if left < 1:
            return '', None
        paths = [str(ROOT), os.environ.get('PYTHONPATH')]
        environment = os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, paths))}
        try:
            done = subprocess.run(
                words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=left
            )
        except subprocess.TimeoutExpired as error:
            return (error.stdout or b'').decode(errors='replace'), None
        return done.stdout.decode(errors='replace'), done.returncode


def ending(printed: str) -> str:
    """The last line that something printed, as a cell of a table."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return lines[-1].replace('|', '/')[:200] if lines else 'nothing was printed'


def failure(printed: str, code: int | None) -> str:
    """The reason why a command has no result, by what it printed and its exit code."""
    return 'took longer than there was time for' if code is None else f'ended with {code}: {ending(printed)}'


def in_words(found: dict[str, Any]) -> str:
    """A prediction or a training step in words."""
    words = [f'{1e3 / found["ms"]:.1f} images/s' if found['images'] == 1 else f'{found["ms"]:.0f} ms a step']
    words += [f'peak {found["mib"]:.0f} MiB', f'{found["waits"]} waits']
    words += [f'{amp} {"finite" if fine is True else fine or "NOT FINITE"}' for amp, fine in found['amp'].items()]
    return ', '.join(words) + (', stand-in for mmcv' if found['stand_in'] else '')


# The parts that are processes of their own


def measure_model(*, config: str, device: str, shape: tuple[int, int], candidates: int | None = None) -> dict[str, Any]:
    """A prediction of one image and a training step of two, with random weights.

    Args:
        config: config file, ``mmagg::<path>`` or ``mmdet::<path>``.
        device: e.g. cuda:0.
        shape: (H, W) of the images.
        candidates: masks or boxes that are found; None: as of `benchmark`.

    Returns:
        for 'predict' and 'train': `images`, `ms` (median), `mib` (peak memory), `waits` and their `places`, `stand_in`,
        and in `amp` for 'fp16' and 'bf16' whether results are finite, or the error.
    """
    from mmagg.costs.mmcv_stand_in import use_where_absent

    place = usable_device(device)
    stand_in = use_where_absent(place.type)
    from mmagg.apis.checkpoint import number_of_classes
    from mmagg.costs.launches import AMP, autocast, make_ready, prediction
    from mmagg.costs.random_model import random_batch, random_model
    from mmagg.costs.timing import measure

    warnings.filterwarnings('ignore', message='torch.meshgrid')
    model = random_model(config, None).eval()
    make_ready(model, shape, wanted=candidates)
    model.to(place)
    classes = number_of_classes(model) or 1

    def predict(amp: str | None = None) -> list[torch.Tensor]:
        return [x.pred_instances.scores for x in prediction(model, *one, amp=amp)]

    def train(amp: str | None = None) -> list[torch.Tensor]:
        model.zero_grad(set_to_none=True)
        with autocast(amp):
            losses = model.loss(*two)
        parts = [x for values in losses.values() for x in (values if isinstance(values, list) else [values])]
        sum(parts).backward()
        return [x.detach() for x in parts]

    one, two = (random_batch(images, shape, num_classes=classes, objects=10, device=place, seed=0) for images in (1, 2))
    found: dict[str, Any] = {}
    for part, run, images in (('predict', predict, 1), ('train', train, 2)):
        model.train(part == 'train')
        run()  # what is computed once, and kept
        with waits(place) as places:
            run()
        times = measure({part: run}, place, RUNS)[part]
        amp: dict[str, bool | str] = {}
        for name in AMP if place.type == 'cuda' else ():
            try:
                amp[name] = all(bool(x.isfinite().all()) for x in run(name))
            except Exception as error:
                amp[name] = ending(str(error))
        found[part] = {'images': images, 'ms': times['ms'], 'mib': times['mib'], 'waits': len(places)}
        found[part] |= {'places': sorted(set(places)), 'amp': amp, 'stand_in': stand_in}
    return found


@contextmanager
def waits(device: torch.device) -> Iterator[list[str]]:
    """The places, within it, where Python waited for a GPU, filled at its end."""
    places: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        if device.type == 'cuda':
            torch.cuda.set_sync_debug_mode('warn')
        try:
            yield places
        finally:
            if device.type == 'cuda':
                torch.cuda.set_sync_debug_mode('default')
    places += [f'{Path(w.filename).name}:{w.lineno}' for w in caught if 'synchronizing CUDA' in str(w.message)]


def measure_reassembly(**options: Any) -> dict[str, Any]:
    """`benchmark_reassembly`."""
    from mmagg.costs.reassembly import benchmark_reassembly

    return benchmark_reassembly(**options)


def measure_aggregation(**options: Any) -> dict[str, Any]:
    """`benchmark_aggregation`."""
    from mmagg.costs.aggregation import benchmark_aggregation

    return benchmark_aggregation(**options)


PARTS = {'model': measure_model, 'reassembly': measure_reassembly, 'aggregation': measure_aggregation}


def main(words: list[str] | None = None) -> None:
    """Write the table, or a part's report."""
    parser = argparse.ArgumentParser(prog='tools/gpu_check.sh WHEELS')
    parser.add_argument('out', nargs='?', type=Path, default=Path('gpu_check.md'), help='the table (%(default)s)')
    parser.add_argument('--device', default='cuda:0', help='where it is computed (%(default)s)')
    size = 'size of the images, multiples of 32 ({} {})'.format(*SHAPE)
    parser.add_argument('--shape', type=int, nargs=2, default=SHAPE, metavar=('H', 'W'), help=size)
    parser.add_argument('--seconds', type=float, default=SECONDS, help='of all parts (%(default)s)')
    parser.add_argument('--part', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.part:
        part, options, file = args.part
        options = {key: tuple(x) if isinstance(x, list) else x for key, x in json.loads(options).items()}
        Path(file).write_text(json.dumps(PARTS[part](**options)))
        return
    try:
        check_file(args.out, 'OUT')
        usable_device(args.device)
    except InputError as error:
        parser.exit(2, f'error: {error}\n')
    if any(side < 32 or side % 32 for side in args.shape):
        parser.error('--shape: both must be multiples of 32')
    lines = [HEAD]
    for row in Check(device=args.device, shape=tuple(args.shape), seconds=args.seconds).rows():
        lines.append(f'| {" | ".join(row)} |')
        sys.stderr.write(f'{lines[-1]}\n')
    with written_whole(args.out) as file:
        file.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
