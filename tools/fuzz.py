"""Run the commands on mutated inputs, for whoever works on mmagg; see --help."""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from itertools import chain
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / 'tests/fuzz/cases'
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

from fuzz import cases, fuzzer, material, targets  # noqa: E402

from mmagg.cli.arguments import positive  # noqa: E402


def from_zero(text: str) -> int:
    """A number of cases, or that of one."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is no number from 0')
    return int(text)


def case_file(text: str) -> Path:
    """A file with a case."""
    try:
        cases.read(Path(text))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise argparse.ArgumentTypeError(f'{text} is no case: {error!r}') from error
    return Path(text)


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(
        description='Spoil annotations, results, configs, checkpoints, images, names and what earlier runs have left, '
        'and run the commands on them, each case in a process of its own. A fault is a traceback, a signal, a hang, a '
        'change outside of the folder '
        'for results, code that was run, much memory, or an error that is not one short line. Exit code 1 if there is '
        'one. Cases that once were faults are kept in tests/fuzz/cases and come first.',
        epilog='example: python tools/fuzz.py --cases 1000 --jobs 2 --only annotations results; then: --case 217',
    )
    parser.add_argument('files', nargs='*', type=case_file, metavar='CASE.json', help='run these alone')
    parser.add_argument('--cases', type=from_zero, default=10_000, metavar='N', help='%(default)s')
    parser.add_argument('--seed', type=int, default=0, metavar='S', help='another seed, other cases (%(default)s)')
    parser.add_argument(
        '--case', type=from_zero, metavar='I', help='run this one alone, show its output and keep its folder'
    )
    parser.add_argument(
        '--only', nargs='+', choices=targets.SHARES, default=tuple(targets.SHARES), help='kinds of inputs'
    )
    parser.add_argument('--jobs', type=positive, default=1, metavar='J', help='cases at a time (%(default)s)')
    parser.add_argument('--keep', type=Path, metavar='DIR', help='write each fault as a case file here')
    parser.add_argument(
        '--bare',
        action='store_true',
        help='list errors that nobody foresaw as well, and how often each command came to its end',
    )
    return parser


def main() -> int:
    """Run what the arguments say."""
    args = parser().parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    fuzzer.load()
    with tempfile.TemporaryDirectory() as folder:
        sound = material.make_material(Path(folder) / 'sound')
        print(f'ready after {time.monotonic() - started:.0f} s', flush=True)
        numbers = range(args.cases) if args.case is None else [args.case]
        draw = partial(cases.draw, args.seed, material=sound, kinds=tuple(args.only))
        files = args.files or (sorted(KEPT.glob('*.json')) if args.case is None else [])
        kept = [(file.stem, case) for file in files if (case := cases.read(file)).kind in args.only]
        todo = kept if args.files else chain(kept, ((number, draw(number)) for number in numbers))
        return report(fuzzer.run_cases(todo, sound, jobs=args.jobs, keep=args.case is not None), args)


def report(results: object, args: argparse.Namespace) -> int:
    """Print faults and figures; returns the exit code."""
    count, codes, busy, bare, found, started = Counter(), Counter(), Counter(), Counter(), 0, time.monotonic()
    deep = Counter()
    for result in results:
        count[result.case.kind] += 1
        busy[result.case.kind] += result.outcome.busy
        codes[result.outcome.code] += 1
        bare[result.bare] += 1
        deep[result.case.command, result.outcome.code == 0] += 1
        if args.case is not None:
            print(
                result.case.to_json(),
                '…' + result.outcome.output[-3000:],
                result.folder if result.faults else '',
                sep='\n',
            )
        if result.faults:
            found += 1
            print(f'{result.case.kind} {result.name}: {result.case.command}: {"; ".join(result.faults)}', flush=True)
            if args.keep:
                (args.keep / f'{result.case.kind}-{args.seed}-{result.name}.json').write_text(result.case.to_json())
    if args.bare:
        print(*(f'{number} x {line}' for line, number in bare.most_common() if line), sep='\n')
        for command in sorted({command for command, _ in deep}):
            print(f'{command:26} {deep[command, True]:6} to the end, {deep[command, False]:6} refused')
    for kind, number in count.items():
        print(f'{kind:12} {number:6} cases, {busy[kind] / number:.3f} s of work each')
    total = sum(count.values())
    print(f'{total} cases in {time.monotonic() - started:.0f} s: {found} faults; exit codes {dict(codes)}')
    return int(found > 0)


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
