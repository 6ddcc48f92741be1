"""Outputs that are of use unfinished, too: what was done before an error, or Ctrl-C, is kept."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from mmagg.io.files import written_whole


class Growing(Protocol):
    """What is written step by step; `close` makes a whole file of what there is.

    Attributes:
        count: steps so far.
    """

    count: int

    def close(self) -> None:
        """Write what the file lacks; may be called again."""


Writer = TypeVar('Writer', bound=Growing)


@contextmanager
def kept_unfinished(path: Path, writer: Callable[[Path], Writer]) -> Iterator[Writer]:
    """As `written_whole`, but if the block ends by an error, ``path`` has the steps that were done, if there are any.

    Args:
        path: the output.
        writer: makes what writes, given a temporary file.
    """
    with ExitStack() as stack:
        growing = writer(stack.enter_context(written_whole(path)))
        try:
            yield growing
            growing.close()
        except BaseException:  # Ctrl-C may have come while it was closed, too
            growing.close()
            if growing.count:
                stack.close()  # here, where the error is being handled: a stop signal is not raised once more
            raise
