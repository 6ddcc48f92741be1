"""A neck that also passes on maps of the backbone (BlendMask, Table 4: bases from C3 and C5)."""

from collections.abc import Sequence

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor


@MODELS.register_module()
class BypassNeck(BaseModule):
    """Another neck's levels, followed by maps of the backbone.

    Args:
        neck: config of the neck.
        keep: indices of these maps in the backbone's output.
    """

    def __init__(self, *, neck: dict, keep: Sequence[int]) -> None:
        super().__init__()
        self.neck = MODELS.build(neck)
        self.keep = tuple(keep)

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Stages (B, C_i, h_i, w_i) -> the neck's levels, then the stages of `keep`."""
        return (*self.neck(stages), *(stages[i] for i in self.keep))
