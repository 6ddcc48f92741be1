"""``--tile``: a test whose images are predicted by overlapping tiles."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import nn

from mmagg.apis.batches import predict_prepared
from mmagg.apis.tiles import check_tiles, predict_tiles
from mmagg.datasets.coco_folder import unwrapped
from mmagg.datasets.config_parts import type_name
from mmagg.datasets.image_errors import FAILURES, unusable
from mmagg.io.errors import InputError, ModelError, named_by

OVERLAP = 0.2
META = ('img_id', 'img_path')  # of an image that is read by the model itself, window by window


def tile_options(tile: int | None, overlap: float | None, full_image: bool, *, tta: bool) -> dict[str, Any] | None:
    """Arguments of `predict_tiles` by the flags; None without tiles.

    Raises:
        InputError: a flag is out of range, or does not go with another.
    """
    if tile is None:
        for flag, given in (('--overlap', overlap is not None), ('--full-image', full_image)):
            if given:
                raise InputError(f'{flag}: is about tiles; add --tile N, their side in pixels')
        return None
    if tta:
        raise InputError('--tile: does not go with --tta, which takes whole images; leave one of them out')
    overlap = OVERLAP if overlap is None else overlap
    check_tiles(tile, overlap, flag='--')
    return {'tile': tile, 'overlap': overlap, 'full_image': full_image}


def use_tiles(cfg: Config, options: dict[str, Any]) -> None:
    """Change a config, in place, so that its test images are predicted by tiles.

    The data set hands over names alone; a tile goes through the test pipeline as an image does. As many are predicted
    together as the config has images in a batch.

    Args:
        cfg: the config, with the options merged into it.
        options: of `tile_options`.

    Raises:
        InputError: the test pipeline does not begin by reading a file.
    """
    dataset = unwrapped(cfg.test_dataloader.dataset)
    pipeline = dataset.get('pipeline') or [{}]
    kinds = [type_name(step) for step in pipeline]
    if kinds[0] != 'LoadImageFromFile' or kinds[-1] != 'PackDetInputs' or pipeline[0].get('backend_args'):
        raise InputError(
            f'--tile: the test pipeline ({", ".join(kinds)}) should begin with LoadImageFromFile, of files on a disk, '
            'and end with PackDetInputs'
        )
    steps = [deepcopy(dict(step)) for step in pipeline if not type_name(step).endswith('Annotations')]
    steps[0]['type'] = 'mmdet.LoadImageFromNDArray'
    dataset['pipeline'] = [{'type': 'PackDetInputs', 'meta_keys': META}]
    batch_size = cfg.test_dataloader.get('batch_size', 1)
    cfg.model = {
        'type': TiledModel.__name__,
        'module': cfg.model,
        'pipeline': steps,
        'batch_size': batch_size,
        **options,
    }


@MODELS.register_module()
class TiledModel(BaseTTAModel):
    """Runs a detector with masks on the tiles of each image, and merges what it finds.

    Args:
        module: the detector or its config.
        pipeline: transforms of a tile, from an array on.
        batch_size: tiles at once.
        tile: their side in pixels.
        overlap: share of a tile that its neighbour sees, too.
        full_image: the squeezed image is predicted as well.
    """

    def __init__(
        self,
        module: nn.Module | dict,
        *,
        pipeline: Sequence[dict],
        batch_size: int,
        tile: int,
        overlap: float,
        full_image: bool,
    ) -> None:
        super().__init__(module)
        self.pipeline = Compose(pipeline)
        self.options: dict[str, Any] = {
            'tile': tile,
            'overlap': overlap,
            'full_image': full_image,
            'batch_size': batch_size,
        }

    @torch.no_grad()
    def test_step(self, data: dict[str, Sequence]) -> list[DetDataSample]:
        """Predict images.

        Args:
            data: `data_samples`, one per image, with its `img_path`.

        Returns:
            the samples, with `pred_instances` as of `predict_tiles`, on the detector's device.

        Raises:
            InputError: an image cannot be read, or its tiles not be resized as the model needs them.
        """
        device = next(self.parameters()).device
        for sample in data['data_samples']:
            try:
                found = predict_tiles(self._predicted, sample.img_path, **self.options)
            except ModelError:
                raise
            except InputError as error:
                raise named_by(error, sample.img_path) from error
            size = found.ori_shape
            sample.set_metainfo({'ori_shape': size, 'img_shape': size, 'scale_factor': (1.0, 1.0)})
            sample.pred_instances = found.to(device)
        return list(data['data_samples'])

    def merge_preds(self, data_samples_list: Sequence) -> list:
        """Not called: tiles are no views of an image."""
        raise NotImplementedError

    def _predicted(self, tiles: list[np.ndarray]) -> list[InstanceData]:
        prepared = []
        for place, tile in enumerate(tiles):
            try:
                prepared.append(self.pipeline({'img': tile, 'img_id': place}))
            except FAILURES as error:
                raise InputError(f'a tile of {unusable(error, tile.shape[:2])}') from error
        return [sample.pred_instances for sample in predict_prepared(self.module, prepared)]
