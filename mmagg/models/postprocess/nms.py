"""The NMS of mmagg.ops as registered parts: `(iou, scores, labels) -> scores`, 0 for what is suppressed."""

from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmagg.ops import mask_nms, matrix_nms
from mmagg.ops.mask_nms import KERNELS


@TASK_UTILS.register_module()
class MatrixNMS:
    """Matrix NMS (SOLOv2, Sec. 3.4); see `mmagg.ops.matrix_nms`.

    Args:
        kernel: `'gaussian'` or `'linear'`.
        sigma: strength of the gaussian kernel, positive.
        class_agnostic: let masks of all classes suppress each other.

    Raises:
        ValueError: a value outside these ranges.
    """

    def __init__(self, *, kernel: str = 'gaussian', sigma: float = 2.0, class_agnostic: bool = False) -> None:
        if kernel not in KERNELS:
            raise ValueError(f'MatrixNMS: kernel is {kernel!r}, expected one of {KERNELS}')
        if not sigma > 0:
            raise ValueError(f'MatrixNMS: sigma is {sigma}, expected a positive number')
        self.kernel = kernel
        self.sigma = sigma
        self.class_agnostic = class_agnostic

    def __call__(self, iou: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """(N, N), (N,) in descending order, (N,) -> (N,) decayed scores."""
        return matrix_nms(iou, scores, labels, kernel=self.kernel, sigma=self.sigma, class_agnostic=self.class_agnostic)


@TASK_UTILS.register_module()
class MaskNMS:
    """Hard NMS on masks (SOLO); see `mmagg.ops.mask_nms`.

    Args:
        iou_thr: a mask goes if its IoU with a kept, better one is above this; in [0, 1].
        class_agnostic: let masks of all classes suppress each other.

    Raises:
        ValueError: `iou_thr` outside [0, 1].
    """

    def __init__(self, *, iou_thr: float = 0.5, class_agnostic: bool = False) -> None:
        if not 0 <= iou_thr <= 1:
            raise ValueError(f'MaskNMS: iou_thr is {iou_thr}, expected a number in [0, 1]')
        self.iou_thr = iou_thr
        self.class_agnostic = class_agnostic

    def __call__(self, iou: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """(N, N), (N,) in descending order, (N,) -> (N,) scores, 0 for the suppressed."""
        keep = mask_nms(iou, scores, labels, iou_thr=self.iou_thr, class_agnostic=self.class_agnostic)
        return scores * keep
