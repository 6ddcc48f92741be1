"""A stand-in for mmcv's compiled operators where they do not run on a GPU: NMS of torchvision, focal loss in PyTorch.

Compiling them takes minutes and a toolkit. Figures with it are marked: its focal loss launches more than mmcv's does.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

from torch import Tensor

from mmagg.costs.pretended_mmcv import focal_loss, focal_loss_gradient


def use_where_absent(device_type: str) -> bool:
    """Let mmcv take the stand-in if it has no operators of its own for a device; to be called before it is used.

    Args:
        device_type: 'cpu' or 'cuda'.

    Returns:
        True if the stand-in is taken.
    """
    if _runs(device_type):
        return False
    for name in [name for name in sys.modules if name.startswith(('mmcv.ops', 'mmcv._ext'))]:
        del sys.modules[name]
    sys.modules['mmcv._ext'] = stand_in()
    return True


def _runs(device_type: str) -> bool:
    try:
        ops = import_module('mmcv.ops')
    except Exception:  # without its extension, or with one for another PyTorch, it may raise anything
        return False
    return device_type == 'cpu' or ops.get_compiling_cuda_version() != 'not available'


def stand_in() -> ModuleType:
    """The module; an operator that it lacks raises RuntimeError when it is called."""
    module = module_from_spec(ModuleSpec('mmcv._ext', None))  # mmengine asks for its spec
    operators = {
        'nms': nms,
        'sigmoid_focal_loss_forward': focal_loss,
        'sigmoid_focal_loss_backward': focal_loss_gradient,
        'get_compiling_cuda_version': lambda: 'not available',
        'get_compiler_version': lambda: 'not available',
    }

    def absent(name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)

        def refuse(*_: Any, **__: Any) -> None:
            raise RuntimeError(f'mmcv._ext.{name}: the stand-in for mmcv has no such operator; compile mmcv with CUDA')

        return refuse

    vars(module).update(operators, __getattr__=absent)
    return module


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of boxes (N, 4) that are kept, by descending score (N,)."""
    if offset:
        raise RuntimeError('the stand-in for mmcv has no NMS of boxes whose sides count one pixel more')
    torchvision = import_module('torchvision.ops')  # not imported above: the package does without it
    return torchvision.nms(boxes.float(), scores.float(), iou_threshold)
