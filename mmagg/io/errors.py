"""The error that says what of a user's input cannot be used; bad input never ends in a traceback."""

TRUST_FLAG = '--trust-checkpoint'  # which messages name

# What mmengine, mmdet and torch raise when a file, a config or a checkpoint is wrong. Failures of a running
# computation (RuntimeError: out of memory, a broken kernel) are not among them and keep their traceback.
EXPECTED = (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, ImportError, SyntaxError)


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where and what to do.

    Args:
        problems: one message, or several that belong together.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)

    def __str__(self) -> str:
        return '\n'.join(map(str, self.args))


def one_line(error: BaseException) -> str:
    """``error`` as a single line; the type is named unless the message speaks for itself."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    text = ' '.join(str(error).split())
    if isinstance(error, InputError | OSError) and text:
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def lines(error: BaseException) -> list[str]:
    """``error`` as lines: one, or one for each problem of an `InputError`."""
    if isinstance(error, InputError) and len(error.args) > 1:
        return [' '.join(problem.split()) for problem in error.args]
    return [one_line(error)]
