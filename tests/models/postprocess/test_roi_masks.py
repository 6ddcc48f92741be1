"""RLE from mmdet's Mask R-CNN, against its bitmaps."""

from copy import deepcopy

import pytest
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mmagg.models.postprocess import encode_masks, roi_masks
from mmagg.ops import rle_to_masks

SIZE = (60, 90)


def predict(model: nn.ModuleList, *, boxes: int, rescale: bool) -> InstanceData:
    torch.manual_seed(0)
    corners = torch.rand(boxes, 2) * 40
    found = InstanceData(
        bboxes=torch.cat([corners, corners + torch.rand(boxes, 2) * 80], dim=1),
        labels=torch.randint(0, 3, (boxes,)),
        scores=torch.rand(boxes),
    )
    meta = dict(ori_shape=SIZE, img_shape=(90, 135), scale_factor=(1.5, 1.5))
    logits = torch.randn(boxes, 3, 14, 14)
    (result,) = model[0].predict_by_feat((logits,), [found], [meta], ConfigDict(mask_thr_binary=0.5), rescale=rescale)
    return result


@pytest.mark.parametrize('rescale', [True, False])
@pytest.mark.parametrize('chunk', [1, 3 * SIZE[0] * SIZE[1], 2**30])
def test_the_same_masks_and_boxes_come_as_rle(rescale: bool, chunk: int, monkeypatch) -> None:
    monkeypatch.setattr(roi_masks, 'CHUNK_BYTES', chunk)
    model = nn.ModuleList([FCNMaskHead(num_classes=3, num_convs=1)])
    encoding = deepcopy(model)
    encode_masks(encoding)
    for boxes in (0, 1, 7):
        want = predict(model, boxes=boxes, rescale=rescale)
        found = predict(deepcopy(encoding), boxes=boxes, rescale=rescale)
        assert torch.equal(found.bboxes, want.bboxes)
        assert len(found.masks) == boxes
        if boxes:
            assert isinstance(found.masks, list)
            assert torch.equal(rle_to_masks(found.masks, *want.masks.shape[1:]), want.masks)
            assert want.masks.any()
