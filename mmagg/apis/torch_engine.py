"""The detector of a config and a checkpoint, as what a `Segmenter` computes with."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from mmagg.apis.batches import array_pipeline, predict_prepared, prepared_batches
from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.compilation import compile_parts
from mmagg.apis.config import CONFIG_SUFFIXES
from mmagg.apis.image_sources import ImageSource
from mmagg.apis.inference import load_model
from mmagg.apis.instances import found_of
from mmagg.apis.named_weights import chosen
from mmagg.apis.tta import use_tta
from mmagg.engine.detection_cap import DetectionCap, detection_cap
from mmagg.io.errors import InputError
from mmagg.runtime.found import Found
from mmagg.visualization.predictions import confident


class _Way(NamedTuple):
    """A model, the pipeline that an image goes through before it, and the config of both."""

    model: BaseModel
    pipeline: Compose
    cfg: Config


class TorchEngine:
    """Runs a detector by PyTorch.

    Args:
        config: as the others of `Segmenter`.

    Attributes:
        model: the detector, in evaluation mode.
        classes: the names of the classes, by label.
        half: computes in half precision.

    Raises:
        InputError: the config, the checkpoint or the device cannot be used.
    """

    def __init__(
        self,
        config: str | Path | Config | None,
        checkpoint: str | Path | None,
        *,
        weights: str | Path | None,
        device: str | None,
        half: bool,
        compile: bool,
        cfg_options: dict | None,
        trust_checkpoint: bool,
    ) -> None:
        secure_loading(trust=trust_checkpoint)
        if isinstance(config, str) and checkpoint is None and weights is None and _is_name(config):
            config, weights = None, config
        config, checkpoint, cfg_options = chosen(config, checkpoint, weights, cfg_options, trust=trust_checkpoint)
        self.model = load_model(config, checkpoint, device, cfg_options)
        self.classes = tuple(self.model.dataset_meta['classes'])
        self.half = half
        self._options = cfg_options
        if compile:
            compile_parts(self.model)
        self._plain = _Way(self.model, array_pipeline(self.model.cfg), self.model.cfg)
        self._augmented: _Way | None = None

    def cap(self, *, tta: bool) -> DetectionCap | None:
        """The most detections of an image by the config; None if it does not say."""
        return detection_cap(self._way(tta).cfg)

    def found(
        self, images: Iterable[ImageSource], *, batch_size: int, workers: int, tta: bool, score_thr: float
    ) -> Iterator[tuple[ImageSource, Found | InputError]]:
        """Images with what is found in them, from `score_thr` on, or with what is wrong with them."""
        for source, sample in self._samples(images, batch_size=batch_size, workers=workers, tta=tta):
            if isinstance(sample, InputError):
                yield source, sample
            else:
                yield source, found_of(confident(sample.pred_instances, score_thr), sample.ori_shape)

    def predict(self, images: Iterable[ImageSource], *, batch_size: int, tta: bool) -> list[InstanceData]:
        """All that the model finds, as of `Segmenter.predict`.

        Raises:
            InputError: an image cannot be used.
        """
        found = []
        for _, sample in self._samples(images, batch_size=batch_size, workers=0, tta=tta):
            if isinstance(sample, InputError):
                raise sample
            found.append(sample.pred_instances)
        return found

    def _samples(
        self, images: Iterable[ImageSource], *, batch_size: int, workers: int, tta: bool
    ) -> Iterator[tuple[ImageSource, DetDataSample | InputError]]:
        model, pipeline, _ = self._way(tta)
        for batch in prepared_batches(images, pipeline, batch_size=batch_size, workers=workers):
            ready = [data for _, data in batch if not isinstance(data, InputError)]
            samples = iter(predict_prepared(model, ready, half=self.half))
            for source, data in batch:
                yield source, data if isinstance(data, InputError) else next(samples)

    def _way(self, tta: bool) -> _Way:
        """Plain, or with test-time augmentation, which is made when it is first asked for."""
        if not tta:
            return self._plain
        if self._augmented is None:
            cfg = deepcopy(self.model.cfg)
            use_tta(cfg, self._options)
            augmented = MODELS.build({**cfg.model, 'module': self.model})
            self._augmented = _Way(augmented, array_pipeline(cfg), cfg)
        return self._augmented


def _is_name(text: str) -> bool:
    """True for what is no config, nor a checkpoint: the name of weights."""
    return '::' not in text and Path(text).suffix not in (*CONFIG_SUFFIXES, '.pth', '.pkl')
