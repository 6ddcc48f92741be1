"""A model that fails at the first images is one that its config does not fit together: bad input, not a broken run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmagg.io.errors import InputError, one_line


class ModelError(InputError):
    """A model that does not run on the first images that it sees."""


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
            ModelError: it failed there, other than for memory or by a loss that is not finite.
        """
        try:
            yield
        except (FloatingPointError, torch.OutOfMemoryError):
            raise
        except (RuntimeError, ArithmeticError) as error:
            if self.done:
                raise
            fit = '' if 'allocate memory' in str(error) else '; do the parts of the config fit each other?'
            raise ModelError(
                f'the model does not run on the first images: {one_line(error)}{fit} (--traceback shows where)'
            ) from error


_have_run: WeakSet[nn.Module] = WeakSet()


@contextmanager
def running(model: nn.Module) -> Iterator[None]:
    """Run a model without a runner; a computation that fails before it has done so once is said to be the config's.

    Raises:
        ModelError: as of `FirstStepHook.watched`.
    """
    first = FirstStepHook()
    first.done = model in _have_run
    with first.watched():
        yield
    _have_run.add(model)
