"""The error that says, in one line, what of a user's input cannot be used; bad input never ends in a traceback."""

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


def one_line(error: BaseException) -> str:
    """``error`` as a single line; the type is named unless the message speaks for itself."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    text = ' '.join(str(error).split())
    if isinstance(error, (InputError, OSError)) and text:
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__
