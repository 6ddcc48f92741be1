"""Stages of a detector whose parts may be mmdet's: hooks mark the modules whose code has no marks."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmdet.models.dense_heads import CondInstBboxHead, CondInstMaskHead, FCOSHead
from torch import Tensor, nn

from mmagg.ops.stage import stage

PARTS_OF = {'shared': 'decode', 'coefficients': 'decode', 'merging': 'decode', 'pasting': 'post'}
"""Finer marks of masks in boxes, and the stage of any detector that they belong to."""


@contextmanager
def marked(modules: Iterable[tuple[nn.Module, str]]) -> Iterator[None]:
    """Within the block the forward passes of modules are stages.

    Args:
        modules: each with the name of its stage.
    """
    opened: list[ExitStack] = []

    def begin(name: str) -> None:
        opened.append(ExitStack())
        opened[-1].enter_context(stage(name))

    with ExitStack() as hooks:
        for module, name in modules:
            hooks.callback(module.register_forward_pre_hook(lambda *_, name=name: begin(name)).remove)
            hooks.callback(module.register_forward_hook(lambda *_: opened.pop().close(), always_call=True).remove)
        yield


@contextmanager
def marked_detector(model: nn.Module) -> Iterator[None]:
    """Within the block an inference by ``model(inputs, samples, mode='predict')`` has these stages:

    - backbone, neck;
    - head: the towers (of a lazy head: those that were needed). With boxes from FCOS, all that finds them before NMS;
      from other box heads of mmdet, all from the neck to the masks, or to the end where there is no mask head;
    - decode: the masks of the candidates, which mmdet's heads make partly in 'head', partly in 'post'; context and
      aggregation of an aggregator are stages of their own. With FCOS, all that masks add to the boxes up to pasting or
      upsampling them: bases or mask features, coefficients (CondInst's at all locations), and the masks made of both;
    - RLE: encoding the final masks, where the detector does it;
    - post: everything else.
    """
    parts = dict(model.named_children())
    boxes, head = parts.get('bbox_head'), parts.get('mask_head')
    marks: list[tuple[nn.Module, str]] = [(parts[name], name) for name in ('backbone', 'neck') if name in parts]
    marks += [(boxes, 'head')] if isinstance(boxes, FCOSHead) else []
    marks += [(boxes.controller, 'decode')] if isinstance(boxes, CondInstBboxHead) else []
    marks += [] if head is None else [(head, 'decode' if isinstance(head, CondInstMaskHead) else 'head')]
    span = ExitStack()
    with marked(marks), ExitStack() as hooks:
        if parts.keys() & {'rpn_head', 'bbox_head', 'roi_head'} and not isinstance(boxes, FCOSHead):
            # These heads predict in methods that no hook sees.
            before, until = parts.get('neck', parts['backbone']), [model] if head is None else [head, model]
            hooks.callback(before.register_forward_hook(lambda *_: span.enter_context(stage('head'))).remove)
            for module in until:
                hooks.callback(module.register_forward_hook(lambda *_: span.close(), always_call=True).remove)
        with marked([(model, 'post')]):
            yield


@contextmanager
def own_graphs(modules: Iterable[nn.Module], forward: str, backward: str) -> Iterator[None]:
    """Within the block forward and backward of some modules are stages of their own.

    Backward hooks do not tell these times apart: between the hooks before and after a module's backward the engine may
    run nodes of other branches. Here each module is one node of the outer graph and keeps a graph of its own, which is
    run in one go while the node's backward is timed. The gradients are the same.

    Args:
        modules: each is called with one tensor that requires grad, and returns one tensor.
        forward: stage of the forward passes.
        backward: stage of the backward passes.
    """
    modules, given = list(modules), []

    def cut(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        given.append(inputs[0])
        return inputs[0].detach().requires_grad_()

    def joined(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        return _OwnGraph.apply(given.pop(), (inputs[0], output), backward)

    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_pre_hook(cut).remove)
        with marked((module, forward) for module in modules):
            for module in modules:
                hooks.callback(module.register_forward_hook(joined).remove)
            yield


class _OwnGraph(torch.autograd.Function):
    """A node that stands for a graph, (input, output), which is a tuple so that autograd does not look into it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, graph: tuple[Tensor, Tensor], backward: str) -> Tensor:
        ctx.graph, ctx.stage = graph, backward
        return graph[1].detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        with stage(ctx.stage):
            x, y = ctx.graph
            del ctx.graph
            torch.autograd.backward(y, grad)
        return x.grad, None, None
