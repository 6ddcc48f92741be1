"""A model that fails at the first images is one that its config does not fit together: bad input, not a broken run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmagg.io.errors import InputError, one_line


class FirstStepHook(Hook):
    """Notes that a step of a training or a test has come to its end.

    Attributes:
        done: whether one has.
    """

    def __init__(self) -> None:
        self.done = False

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        self.done = True

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Run a block; a computation that fails in its first step is said to be the config's.

        Raises:
            InputError: it failed there, other than for memory or by a loss that is not finite.
        """
        try:
            yield
        except (FloatingPointError, torch.OutOfMemoryError):
            raise
        except (RuntimeError, ArithmeticError) as error:
            if self.done:
                raise
            raise InputError(
                f'the model does not run on the first images: {one_line(error)}; do the parts of the config fit each '
                'other? (--traceback shows where)'
            ) from error
