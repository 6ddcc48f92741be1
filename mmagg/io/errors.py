"""The error for input that cannot be used, and errors as lines: bad input never ends in a traceback."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb, walk_tb

from mmagg.io.terminal import single_line

TRUST_FLAG = '--trust-checkpoint'  # as messages name it

# Errors of mmengine, mmdet and torch at a wrong file, config or checkpoint. Failures of a running computation
# (RuntimeError: out of memory, a broken kernel) are not among them and keep their traceback.
EXPECTED = (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, ImportError, SyntaxError)

OF_TILE = re.compile(r'^image_\d+: ')

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of writing, where there is no room

# What PyTorch makes of an error in a data loader's worker: a whole traceback, whose last line is the error.
OF_WORKER = re.compile(
    r'Caught \w+ in DataLoader worker process \d+\.\nOriginal Traceback.*^[\w.]+(?:$|: (.*))', re.S | re.M
)


class InputError(ValueError):
    """Input that cannot be used; the message says what, where and what to do.

    Args:
        problems: one message, or several that belong together.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)

    def __str__(self) -> str:
        return '\n'.join(map(str, self.args))


class ModelError(InputError):
    """A model, or a data pipeline, that does not run on the first images that it sees."""


def named_by(error: InputError, image: str) -> InputError:
    """The error of an image with the image's name before it, unless it is there; a tile is called ``image_0``, …."""
    text = OF_TILE.sub('a tile of ', str(error))
    return error if image in text else InputError(f'{image}: {text}')


def check_fraction(value: float, name: str) -> None:
    """Refuse a threshold that is no number from 0 to 1; ``name`` is the argument's."""
    if not 0 <= value <= 1:
        raise InputError(f'{name} {value}: not between 0 and 1')


@contextmanager
def building() -> Iterator[None]:
    """Where a model is built, an error is that of its config, as with -64 channels; the part is named that failed."""
    try:
        yield
    except (InputError, OSError, ImportError):
        raise
    except (*EXPECTED, RuntimeError, ArithmeticError) as error:
        line = f'{_built(error)}{one_line(error)}{_asserted(error)}{_of_the_base(error)}'
        raise InputError(f'the model cannot be built: {line}') from error


def _built(error: BaseException) -> str:
    """The class whose constructor failed, with a colon; nothing where there is none, or where the message has it."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code.co_name == '__init__']
    names = [type(frame.f_locals['self']).__name__ for frame in frames if 'self' in frame.f_locals]
    return f'{names[-1]}: ' if names and names[-1] not in str(error) else ''


def _asserted(error: BaseException) -> str:
    """What was asserted, for an assertion that says nothing."""
    if not isinstance(error, AssertionError) or str(error):
        return ''
    return f': {extract_tb(error.__traceback__)[-1].line}'


def _of_the_base(error: BaseException) -> str:
    """How to get rid of an argument that a part does not take: often it is of another type, that of the base."""
    if not isinstance(error, TypeError) or 'unexpected keyword argument' not in str(error):
        return ''
    return '; if it comes from a base, _delete_=True in the dict leaves its arguments out'


def one_line(error: BaseException) -> str:
    """``error`` as a single line of bounded length; with its type, unless it is an `InputError` or an OSError."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return single_line(f'{error.filename}: {error.strerror}')
    worker = OF_WORKER.match(str(error))
    text = single_line((worker[1] or '') if worker else str(error))
    if isinstance(error, InputError | OSError) and text:
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def set_note(error: BaseException, note: str) -> None:
    """Let ``note`` be what is said after ``error``, instead of what was noted further in (also before Python 3.11)."""
    error.__dict__['__notes__'] = [note]


def lines(error: BaseException) -> list[str]:
    """``error`` as lines: one, or one for each problem of an `InputError`."""
    if isinstance(error, InputError) and len(error.args) > 1:
        return [single_line(problem) for problem in error.args]
    return [one_line(error)]
