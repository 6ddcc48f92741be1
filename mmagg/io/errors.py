"""Bad input ends with one line on stderr and exit code 2, never with a traceback; a training that diverges, with 3."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

EXIT_BAD_INPUT = 2
EXIT_NOT_FINITE = 3
EXIT_INTERRUPTED = 130

# What mmengine, mmdet and torch raise when a file, a config or a checkpoint is wrong. Failures of a running
# computation (RuntimeError: out of memory, a broken kernel) are not among them and keep their traceback.
EXPECTED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ImportError,
    SyntaxError,
)


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where and what to do."""


def add_traceback_flag(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the flag ``--traceback``, which `run_tool` reads."""
    parser.add_argument('--traceback', action='store_true', help='show where an error came from')


def one_line(error: BaseException) -> str:
    """``error`` as a single line; the type is named unless the message speaks for itself."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    text = ' '.join(str(error).split())
    if isinstance(error, (InputError, OSError)) and text:
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def run_tool(name: str, argv: Sequence[str] | None = None) -> int:
    """Run the command ``mmagg.apis.<name>`` and turn what bad input raises into one line.

    Args:
        name: of the module and of the function in it that takes the parsed arguments and returns an exit
            code, or None for 0. The module's ``parser()`` gives the argument parser.
        argv: the arguments, default the process's own. With ``--traceback`` an error's trace is shown as
            well.

    Returns:
        The exit code: the command's own, 2 for bad input, 3 if a training's loss is no longer finite
        (`mmagg.engine.FiniteLossHook`), 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not sys.stderr.isatty():
        os.environ.setdefault('TQDM_MININTERVAL', '10')  # in a log file, a progress bar is a line an update
    try:
        module = import_module(f'mmagg.cli.{name}')
        return getattr(module, name)(module.parser().parse_args(argv)) or 0
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)  # noqa: T201
        return EXIT_INTERRUPTED
    except FloatingPointError as error:
        print(f'error: {_rank()}{error}', file=sys.stderr)  # noqa: T201
        return EXIT_NOT_FINITE
    except EXPECTED as error:
        trace = '--traceback' in argv
        if trace:
            traceback.print_exc()
        print(f'error: {_rank()}{one_line(error)}{_hint(error, trace)}', file=sys.stderr)  # noqa: T201
        return EXIT_BAD_INPUT


def _rank() -> str:
    return f'[rank {os.environ["RANK"]}] ' if int(os.environ.get('WORLD_SIZE', '1')) > 1 else ''


def _hint(error: BaseException, trace: bool) -> str:
    if isinstance(error, ImportError):
        return ' (python tools/doctor.py says what is missing)'
    return '' if trace or isinstance(error, InputError) else ' (--traceback shows where)'
