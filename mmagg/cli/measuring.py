"""Arguments and output that the commands of costs share. Nothing heavy is imported."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmagg.cli.arguments import positive


def add_shape(parser: argparse.ArgumentParser, default: tuple[int, int], text: str) -> None:
    """``--shape H W``; ``text`` is its help, without the default."""
    height, width = default
    text = f'{text} ({height} {width})'.strip()
    parser.add_argument('--shape', type=positive, nargs=2, default=default, metavar=('H', 'W'), help=text)


def add_runs(parser: argparse.ArgumentParser, text: str = 'timed runs of each, in turns', default: int = 3) -> None:
    """``--runs``; ``text`` is its help."""
    parser.add_argument('--runs', type=positive, default=default, metavar='R', help=f'{text} (%(default)s)')


def add_json(parser: argparse.ArgumentParser, content: str = 'everything measured') -> None:
    """``--json``, a file for ``content``."""
    parser.add_argument('--json', type=Path, metavar='FILE', help=f'write {content} here as well')


def print_report(
    args: argparse.Namespace, measure: Callable[..., dict[str, Any]], table: Callable[[dict[str, Any]], str]
) -> None:
    """Measure, print a table, and write what was measured to ``--json``.

    Args:
        args: ``json`` and ``threads``, where the command has them; all others are arguments of ``measure``.
        measure: returns the report.
        table: the report as text.

    Raises:
        InputError: ``--json`` is a folder or an input, or ``measure`` raises it.
    """
    options = vars(args) | {'shape': tuple(args.shape)}
    file, threads = options.pop('json', None), options.pop('threads', None)
    import torch

    from mmagg.io.files import check_file, write_json
    from mmagg.io.paths import keep_apart

    if file is not None:
        check_file(file, '--json')
        for config in filter(None, (options.get('config'), options.get('vs'))):
            from mmagg.apis.model_files import model_files  # not above: commands without a config do without it

            keep_apart({'--json': file}, model_files(config, None, None, trust=False))
        keep_apart({'--json': file}, [options.get('ann'), options.get('coco')])
    if threads is not None:
        torch.set_num_threads(threads)
    report = measure(**options)
    print(table(report))
    if file is not None:
        write_json(report, file)
        print(f'written to {file}')
