"""The model that predicts by tiles."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmagg.apis.tiled_testing import TiledModel
from mmagg.io.errors import InputError


class Stub(torch.nn.Module):
    """Finds nothing, and notes the sizes of the images that it is given together."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.data_preprocessor = SimpleNamespace(pad_size_divisor=32)
        self.seen: list[set[tuple[int, ...]]] = []

    def test_step(self, data: dict) -> list[DetDataSample]:
        self.seen.append({tuple(image.shape) for image in data['inputs']})
        nothing = dict(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.long))
        for sample in data['data_samples']:
            sample.pred_instances = InstanceData(masks=[], **nothing)
        return data['data_samples']


def test_images_go_together_only_where_they_are_padded_alike(tmp_path: Path) -> None:
    """The squeezed image is smaller than the tiles: padded to their size, its grid of cells would be another."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((64, 192, 3), np.uint8))
    stub = Stub()
    pipeline = [dict(type='mmdet.LoadImageFromNDArray'), dict(type='mmdet.PackDetInputs', meta_keys=('img_id',))]
    model = TiledModel(stub, pipeline=pipeline, batch_size=8, tile=64, overlap=0.0, full_image=True)
    model.test_step({'data_samples': [DetDataSample(metainfo={'img_path': str(tmp_path / 'a.png')})]})
    assert stub.seen == [{(3, 64, 64)}, {(3, 21, 64)}]


def test_a_tile_that_cannot_be_resized_is_a_line_with_the_name_of_its_image(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'thin.png'), np.zeros((1, 5000, 3), np.uint8))
    resize = dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=True)
    pipeline = [dict(type='mmdet.LoadImageFromNDArray'), resize, dict(type='mmdet.PackDetInputs', meta_keys=())]
    model = TiledModel(Stub(), pipeline=pipeline, batch_size=8, tile=5000, overlap=0.0, full_image=False)
    with pytest.raises(InputError, match=r'thin\.png: a tile of 5000 × 1 pixels, cannot be transformed'):
        model.test_step({'data_samples': [DetDataSample(metainfo={'img_path': str(tmp_path / 'thin.png')})]})
