"""Time by stage, for programs whose stages call each other.

A lazy head runs its towers in the middle of decoding. So a stage is charged with its exclusive time: while a nested
stage is open, the outer one's clock stands still, and all stages add up to the time of the outermost ones.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn


class StageClock:
    """Exclusive seconds per stage.

    Args:
        device: on CUDA the clock waits for the device whenever a stage begins or ends.

    Attributes:
        seconds: by stage name, in the order in which the stages were first left.
    """

    def __init__(self, device: str | torch.device = 'cpu') -> None:
        self.device = torch.device(device)
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charge what happens in the block to ``name``, except for the stages within."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    @contextmanager
    def watch(self, places: Iterable[tuple[Any, str, str]]) -> Iterator[None]:
        """Within the block, calls of some functions are stages.

        Args:
            places: (owner, attribute, stage): the function or method ``owner.attribute`` is charged to ``stage``. The
                owner may be an object, a module of a network (its ``forward``) or a Python module.
        """
        with ExitStack() as stack:
            for owner, attribute, stage in places:
                stack.enter_context(replaced(owner, attribute, self._timed(getattr(owner, attribute), stage)))
            yield

    def _timed(self, function: Callable, stage: str) -> Callable:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(stage):
                return function(*args, **kwargs)

        return timed

    def _charge(self) -> None:
        """Charge the time since the last change to the innermost open stage."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        now = perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


@contextmanager
def watch_training(clock: StageClock, modules: Iterable[nn.Module], forward: str, backward: str) -> Iterator[None]:
    """Within the block, forward and backward of some modules are stages of their own.

    Backward hooks do not tell these times apart: between the hooks before and after a module's backward the engine may
    run nodes of other branches. Here each module is one node of the outer graph and keeps a graph of its own, which is
    run in one go while the node's backward is timed. The gradients are the same.

    Args:
        clock: gets the times.
        modules: each is called with one tensor that requires grad, and returns one tensor.
        forward: stage of the forward passes.
        backward: stage of the backward passes.
    """
    with ExitStack() as stack:
        for module in modules:

            def timed(x: Tensor, inner: Callable = module.forward) -> Tensor:
                return _OwnGraph.apply(x, inner, clock, forward, backward)

            stack.enter_context(replaced(module, 'forward', timed))
        yield


class _OwnGraph(torch.autograd.Function):
    """Runs a function in a graph of its own, with its forward and backward as stages."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inner: Callable, clock: StageClock, forward: str, backward: str) -> Tensor:
        with clock.stage(forward), torch.enable_grad():
            x = x.detach().requires_grad_()
            y = inner(x)
        ctx.graph, ctx.clock, ctx.stage = (x, y), clock, backward
        return y.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        with ctx.clock.stage(ctx.stage):
            x, y = ctx.graph
            del ctx.graph
            torch.autograd.backward(y, grad)
        return x.grad, None, None, None, None


@contextmanager
def replaced(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    """Within the block ``owner.attribute`` is ``value``."""
    own = attribute in vars(owner)  # else it is the class's
    before = getattr(owner, attribute)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, attribute, before)
        else:
            delattr(owner, attribute)
