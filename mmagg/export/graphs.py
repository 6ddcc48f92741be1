"""The graph of a detector, or the line that says why it has none."""

from typing import Any

import torch
from torch import nn

from mmagg.export.boxed_graph import BoxedGraph
from mmagg.export.grid_graph import GridGraph
from mmagg.export.neck_graph import NeckGraph
from mmagg.export.plain_modules import exportable
from mmagg.io.errors import InputError
from mmagg.models.heads import BoxedMaskHead, GridMaskHead
from mmagg.models.masks.boxed.blendmask import BlendMaskMasks

PARTS = ('all', 'neck')
CANDIDATES = 300  # of SOLO's family


def graph_of(model: nn.Module, *, part: str = 'all', candidates: int | None = None) -> Any:
    """A module of normalised, padded images (B, 3, H, W), with the names of its `outputs`.

    Args:
        model: the detector.
        part: 'all', or 'neck' for the pyramid alone.
        candidates: of an image, whose masks are computed; by default 300; with boxes as many as detections, or fewer.

    Raises:
        InputError: the model, or an option of it, has no exported form.
    """
    if part not in PARTS:
        raise InputError(f'part {part}: give one of {", ".join(PARTS)}')
    if part == 'neck':
        if not hasattr(model, 'extract_feat') or not getattr(model, 'with_neck', False):
            raise InputError(f'--part neck: a {type(model).__name__} has no neck')
        return NeckGraph(plain := exportable(model), levels=len(plain.extract_feat(torch.zeros(1, 3, 64, 64))))
    head = getattr(model, 'mask_head', None)
    if isinstance(head, GridMaskHead):
        if head.post_process.voting is not None:
            raise InputError(
                'mask voting is no part of an exported model: --cfg-options model.test_cfg.voting=None goes without'
            )
        most = sum(side**2 for side in head.grids) * head.num_classes
        return GridGraph(exportable(model), candidates=min(candidates or CANDIDATES, most))
    if isinstance(head, BoxedMaskHead):
        if isinstance(head.masks, BlendMaskMasks) and head.masks.pooling == 'pool':
            raise InputError("BlendMask's pooling='pool' (RoIPool) cannot be exported; pooling='align' can")
        return BoxedGraph(exportable(model), candidates=candidates or head.post_process.max_per_img)
    raise InputError(
        f'the masks of a {type(model).__name__} cannot be exported; --part neck exports its backbone and neck'
    )


def images_at_once(graph: Any) -> int | None:
    """The only number of images that a graph takes; None: any.

    AggMask's convolutions have weights of one image, so its graph is written for a number of them.
    """
    head = getattr(graph.model, 'mask_head', None)
    aggregates = isinstance(graph, GridGraph) and isinstance(head, GridMaskHead) and head.aggregator is not None
    return 1 if aggregates else None
