"""The NMS of mmagg.ops, registered: (N, N) `iou`, (N,) descending `scores`, (N,) `labels` -> (N,) new scores."""

from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmagg.ops import mask_nms, matrix_nms
from mmagg.ops.mask_nms import KERNELS


@TASK_UTILS.register_module()
class MatrixNMS:
    """Matrix NMS (SOLOv2); arguments as of `mmagg.ops.matrix_nms`.

    Raises:
        ValueError: unknown `kernel`, or a `sigma` that is not positive.
    """

    def __init__(self, *, kernel: str = 'gaussian', sigma: float = 2.0, class_agnostic: bool = False) -> None:
        if kernel not in KERNELS:
            raise ValueError(f'MatrixNMS: kernel is {kernel!r}, expected one of {KERNELS}')
        if not sigma > 0:
            raise ValueError(f'MatrixNMS: sigma is {sigma}, expected a positive number')
        self.kernel, self.sigma, self.class_agnostic = kernel, sigma, class_agnostic

    def __call__(self, iou: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """Decayed scores."""
        return matrix_nms(iou, scores, labels, kernel=self.kernel, sigma=self.sigma, class_agnostic=self.class_agnostic)


@TASK_UTILS.register_module()
class MaskNMS:
    """Hard NMS on masks (SOLO); arguments as of `mmagg.ops.mask_nms`.

    Raises:
        ValueError: `iou_thr` outside [0, 1].
    """

    def __init__(self, *, iou_thr: float = 0.5, class_agnostic: bool = False) -> None:
        if not 0 <= iou_thr <= 1:
            raise ValueError(f'MaskNMS: iou_thr is {iou_thr}, expected a number in [0, 1]')
        self.iou_thr, self.class_agnostic = iou_thr, class_agnostic

    def __call__(self, iou: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """The scores, 0 for suppressed masks."""
        keep = mask_nms(iou, scores, labels, iou_thr=self.iou_thr, class_agnostic=self.class_agnostic)
        return scores * keep
