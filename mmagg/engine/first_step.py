"""What fails at the first images is a config that does not fit together, or the data: bad input, not a broken run."""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any
from weakref import WeakSet

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmagg.datasets.image_errors import FAILURES
from mmagg.io.errors import InputError, ModelError, one_line

OF_LOADERS, OF_OPTIMISERS = 'torch.utils.data.', 'torch.optim.'


class FirstStepHook(Hook):
    """Notes that a step of a training or a test has come to its end.

    Attributes:
        begun: whether images are being loaded for one.
        done: whether one has.
    """

    def __init__(self) -> None:
        self.begun = self.done = False

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self.begun = True

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        self.done = True

    @contextmanager
    def watched(self, *, resumed: str | None = None) -> Iterator[None]:
        """Run a block; what fails in its first step is said to be the config's.

        In an optimiser that goes on with the states of a checkpoint, ``resumed``, it is said to be that one's.
        Before the step begins, that is so of computations alone: what is wrong with a hook or a sampler says so itself.
        Kinds of errors that values and shapes do not cause, such as a NameError, pass.

        Raises:
            ModelError: it failed there, other than for a GPU's memory or by a loss that is not finite.
        """
        try:
            yield
        except (FloatingPointError, torch.OutOfMemoryError, InputError, OSError, ImportError):
            raise
        except FAILURES as error:
            if self.done or not (self.begun or isinstance(error, RuntimeError | ArithmeticError)):
                raise
            raise ModelError(f'{_said_of(error, resumed)} (--traceback shows where)') from error


def _said_of(error: Exception, resumed: str | None) -> str:
    """What failed, and what to look at; the frames tell loading, in workers or here, from computing."""
    modules = [frame.f_globals.get('__name__', '') for frame, _ in walk_tb(error.__traceback__)]
    if resumed is not None and any(module.startswith(OF_OPTIMISERS) for module in modules):
        return f'checkpoint {resumed}: does not fit this training: {one_line(error)}'
    loading = any(module.startswith(OF_LOADERS) for module in modules)
    what = 'the data pipeline fails at' if loading else 'the model does not run on'
    fit = 'the transforms of the config fit the data' if loading else 'the parts of the config fit each other'
    full = isinstance(error, MemoryError) or 'allocate memory' in str(error)
    return f'{what} the first images: {one_line(error)}{"" if full else f"; do {fit}?"}'


_have_run: WeakSet[nn.Module] = WeakSet()


@contextmanager
def running(model: nn.Module) -> Iterator[None]:
    """Run a model without a runner; a computation that fails before it has done so once is said to be the config's.

    Raises:
        ModelError: as of `FirstStepHook.watched`.
    """
    first = FirstStepHook()
    first.begun, first.done = True, model in _have_run
    with first.watched():
        yield
    _have_run.add(model)
