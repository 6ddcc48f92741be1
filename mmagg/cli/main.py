"""``mmagg COMMAND …``: the table of contents, and the exit codes of all commands.

Bad input ends with a line on stderr and exit code 2, never with a traceback; a training that diverges, with 3.

A command is a module of this folder with `parser()` and `run(args)`, which returns an exit code, or None for 0. Heavy
modules are imported in `run`, so that help is quick, and a missing package a line as other bad input is.
"""

import difflib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType

import mmagg
from mmagg.cli import (
    analyse_calibration,
    analyse_confusion,
    analyse_errors,
    analyse_groups,
    analyse_precision_recall,
    benchmark,
    benchmark_aggregation,
    benchmark_boxed_masks,
    benchmark_evaluation,
    benchmark_neck,
    benchmark_reassembly,
    boxes_to_masks,
    browse,
    check,
    compare_learning,
    compare_results,
    convert_adelaidet,
    convert_aggmask,
    convert_data,
    convert_lvis,
    convert_mmdet,
    count_flops,
    count_launches,
    data_stats,
    demo,
    doctor,
    export,
    fit_mask_codec,
    make_demo,
    make_shapes,
    mask_voting,
    object_statistics,
    pack_results,
    paper_tables,
    serve,
    show_bases,
    show_representations,
    split_coco,
    test,
    train,
    weights,
)
from mmagg.cli.output import EXIT_UNREAD, Unread, outputs
from mmagg.cli.stopping import notes, stopping
from mmagg.io.errors import EXPECTED, InputError, lines
from mmagg.io.terminal import single_line

EXIT_INTERNAL = 1  # Python's, with a traceback
EXIT_BAD_INPUT = 2
EXIT_NOT_FINITE = 3
EXIT_INTERRUPTED = 130

GROUPS = {
    'Train and use': (train, test, demo, export, serve, weights, browse, doctor),
    'Own annotations': (convert_data, split_coco, check, data_stats),
    'Generated scenes': (make_shapes, make_demo),
    'Analyse results': (
        analyse_errors,
        analyse_confusion,
        analyse_precision_recall,
        analyse_calibration,
        analyse_groups,
        compare_results,
        pack_results,
    ),
    'Look inside a model': (show_representations, show_bases),
    'Experiments': (mask_voting, boxes_to_masks, fit_mask_codec, object_statistics, compare_learning),
    'Costs': (
        count_flops,
        count_launches,
        paper_tables,
        benchmark,
        benchmark_evaluation,
        benchmark_aggregation,
        benchmark_boxed_masks,
        benchmark_neck,
        benchmark_reassembly,
    ),
    'Convert': (convert_mmdet, convert_aggmask, convert_adelaidet, convert_lvis),
}


def name_of(command: ModuleType) -> str:
    """A command's name, as in ``mmagg NAME``."""
    return command.__name__.rpartition('.')[2].replace('_', '-')


COMMANDS = {name_of(command): command for group in GROUPS.values() for command in group}
# The commands whose script under tools/ has another name: that name works as well.
SCRIPTS = {
    'adelaidet-to-mmagg': 'convert-adelaidet',
    'aggmask-to-mmagg': 'convert-aggmask',
    'ap-by-group': 'analyse-groups',
    'browse-dataset': 'browse',
    'calibration': 'analyse-calibration',
    'cocofy-lvis': 'convert-lvis',
    'compare': 'compare-results',
    'confusion': 'analyse-confusion',
    'error-analysis': 'analyse-errors',
    'get-flops': 'count-flops',
    'mmdet-to-mmagg': 'convert-mmdet',
    'precision-recall': 'analyse-precision-recall',
}


def run(command: ModuleType, argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run a command; errors at bad input become lines on stderr.

    Args:
        command: a module of this folder.
        argv: the arguments, default the process's own. With ``--traceback`` an error's trace is shown as well.
        prog: the command's name in its help, default the process's.

    Returns:
        The exit code: the command's own, 2 for bad input, 3 if a training's loss is no longer finite
        (`mmagg.engine.FiniteLossHook`), 130 after Ctrl-C, 143 after SIGTERM (`mmagg.cli.stopping`), 141 where nobody
        reads what it prints any more (`mmagg.cli.output`).
    """
    argv = sys.argv[1:] if argv is None else argv
    logging.raiseExceptions = False  # on a full disk, the error of the first other file is said, not one a log line

    def call() -> int | None:
        parser = command.parser()
        if prog:
            parser.prog, parser.epilog = prog, parser.epilog and as_commands(parser.epilog)
        parser.add_argument('--traceback', action='store_true', help='show where an error came from')
        args = parser.parse_args(argv)
        del args.traceback  # what is left are the keyword arguments of what a command calls
        return command.run(args)

    code = ended(call, trace='--traceback' in argv)
    if launch := sys.modules.get('mmagg.apis.launch'):
        launch.leave(code)
    return code


def as_commands(text: str) -> str:
    """The examples of a help text, which name the scripts and configs of a clone, as they are typed without one."""

    def command(script: re.Match) -> str:
        name = script[1].replace('_', '-')
        return f'mmagg {SCRIPTS.get(name, name)}'

    return re.sub(r'python tools/(?:\w+/)*(\w+)\.py', command, text).replace('configs/', 'mmagg::')


def ended(call: Callable[[], int | None], *, trace: bool = False) -> int:
    """The exit code of a call; what bad input raises is one line, with ``trace`` the error's trace as well."""
    with outputs() as end:
        try:
            return end(_code(call, trace))
        except Unread:
            return end(EXIT_UNREAD)
        except SystemExit as done:  # argparse's, after the help
            done.code = end(int(done.code or 0))
            raise
        except BaseException:
            end(EXIT_INTERNAL)
            raise


def _code(call: Callable[[], int | None], trace: bool) -> int:
    try:
        with stopping():
            return call() or 0
    except Unread:
        raise
    except KeyboardInterrupt as error:
        print('; '.join([str(error) or 'interrupted', *notes(error)]), file=sys.stderr)
        return getattr(error, 'exit_code', EXIT_INTERRUPTED)
    except FloatingPointError as error:
        print(f'error: {_rank()}{single_line(str(error))}', file=sys.stderr)
        return EXIT_NOT_FINITE
    except EXPECTED as error:
        if trace:
            traceback.print_exc()
        for line in lines(error):
            print(f'error: {_rank()}{line}{_hint(error, trace)}', file=sys.stderr)
        return EXIT_BAD_INPUT


def main(argv: Sequence[str] | None = None) -> int:
    """``mmagg COMMAND …``; returns the exit code."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ['--help']
    name = SCRIPTS.get(name, name)
    if name in COMMANDS:
        return run(COMMANDS[name], arguments, prog=f'mmagg {name}')
    return ended(lambda: _contents_or(name))


def _contents_or(name: str) -> int:
    """What there is beside commands."""
    if name in ('-h', '--help', 'help'):
        print(contents())
        return 0
    if name == '--version':
        print(f'mmagg {mmagg.__version__}')
        return 0
    near = difflib.get_close_matches(name, [*COMMANDS, *SCRIPTS])
    meant = f'did you mean {" or ".join(near)}?' if near else 'mmagg --help lists them'
    raise InputError(f'mmagg has no command {name}; {meant}')


def contents() -> str:
    """The table of contents: the commands by group, each with its summary."""
    width = max(map(len, COMMANDS)) + 2
    text = [
        'usage: mmagg COMMAND [arguments]      `mmagg COMMAND --help` has the arguments',
        '',
        'Instance segmentation for MMDetection 3: SOLO, AggMask, A²-FPN, BlendMask, MEInst.',
    ]
    for title, commands in GROUPS.items():
        text += ['', title, *(f'  {name_of(command):{width}}{summary(command)}' for command in commands)]
    return '\n'.join(text)


def summary(command: ModuleType) -> str:
    """The first line of a command's own docstring, without the full stop."""
    return (command.__doc__ or '').split('\n', 1)[0].rstrip('.')


def _rank() -> str:
    return f'[rank {os.environ["RANK"]}] ' if int(os.environ.get('WORLD_SIZE', '1')) > 1 else ''


def _hint(error: BaseException, trace: bool) -> str:
    if isinstance(error, ImportError):
        return ' (`mmagg doctor`, or `python tools/doctor.py`, says what is missing)'
    return '' if trace or isinstance(error, InputError) else ' (--traceback shows where)'
