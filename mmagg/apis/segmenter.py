"""A trained model as one callable."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from tqdm import tqdm

from mmagg.apis.batches import array_pipeline, predict_prepared, prepared_batches
from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.compilation import compile_parts
from mmagg.apis.config import CONFIG_SUFFIXES
from mmagg.apis.image_sources import ImageSource, ImageSources, image_sources
from mmagg.apis.inference import load_model
from mmagg.apis.named_weights import chosen
from mmagg.apis.result import Result
from mmagg.apis.tta import use_tta
from mmagg.engine.detection_cap import DetectionCap, detection_cap
from mmagg.engine.first_step import ModelError
from mmagg.io.errors import InputError, check_fraction, named_by, one_line
from mmagg.io.images import bgr_image
from mmagg.visualization.predictions import confident, draw_predictions

OnError = Callable[[str, InputError], None]


class _Way(NamedTuple):
    """A model, the pipeline that an image goes through before it, and the config of both."""

    model: BaseModel
    pipeline: Compose
    cfg: Config


class Segmenter:
    """Finds the instances in images.

        segmenter = Segmenter('work_dirs/mine/solo.py', 'work_dirs/mine/epoch_12.pth')
        found = segmenter('street.jpg', score_thr=0.5)
        print(found.names, found.scores)
        found.save('found.png')
        for one in segmenter('photos/', batch_size=8, stream=True):
            one.save(f'out/{one.name}.json')

    Args:
        config_or_name: a config file, ``mmagg::<path>`` or ``mmdet::<path>``, or a loaded config; or a name that
            ``mmagg weights`` lists, which stands for weights and their config.
        checkpoint: a .pth file or a URL; all of its weights must fit.
        weights: instead of a checkpoint: a name that ``mmagg weights`` lists, a file or a URL; others' are converted.
        device: e.g. ``cpu`` or ``cuda:0``; by default the GPU where there is one.
        half: compute in float16 on a GPU, in bfloat16 on the CPU, where PyTorch's autocast allows.
        compile: `torch.compile` backbone, neck and towers: minutes at the first image, faster after it.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.

    Attributes:
        model: the detector, in evaluation mode.

    Raises:
        InputError: the config, the checkpoint or the device cannot be used.
    """

    def __init__(
        self,
        config_or_name: str | Path | Config | None = None,
        checkpoint: str | Path | None = None,
        *,
        weights: str | Path | None = None,
        device: str | None = None,
        half: bool = False,
        compile: bool = False,
        cfg_options: dict | None = None,
        trust_checkpoint: bool = False,
    ) -> None:
        secure_loading(trust=trust_checkpoint)
        config = config_or_name
        if isinstance(config, str) and checkpoint is None and weights is None and _is_name(config):
            config, weights = None, config
        config, checkpoint, cfg_options = chosen(config, checkpoint, weights, cfg_options, trust=trust_checkpoint)
        self.model = load_model(config, checkpoint, device, cfg_options)
        self.half = half
        self._options = cfg_options
        if compile:
            compile_parts(self.model)
        self._plain = _Way(self.model, array_pipeline(self.model.cfg), self.model.cfg)
        self._augmented: _Way | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by label."""
        return tuple(self.model.dataset_meta['classes'])

    def cap(self, *, tile: int | None = None, tta: bool = False) -> DetectionCap | None:
        """The most detections of an image by the model's config; None if it does not say, or for tiles.

        Args:
            tile: as of a call, as `tta`.
        """
        return None if tile is not None else detection_cap((self._with_views() if tta else self._plain).cfg)

    def __call__(
        self,
        images: Any,
        *,
        batch_size: int = 1,
        score_thr: float = 0.3,
        classes: Sequence[str] | None = None,
        max_detections: int | None = None,
        tile: int | None = None,
        overlap: float = 0.2,
        full_image: bool = False,
        tta: bool = False,
        stream: bool = False,
        rgb: bool = False,
        workers: int = 0,
        on_error: OnError | None = None,
    ) -> Any:
        """Predict the instances of an image, or of each of several.

        Args:
            images: a file, a folder, which is searched for images, a glob such as ``photos/**/*.jpg``; an array as of
                `bgr_image`, (H, W, 3) uint8; a PIL image; a tensor (C, H, W) or (H, W, C) of 1, 3 or 4 channels,
                uint8; or an iterable of files, arrays, PIL images and tensors, such as a list or a generator.
            batch_size: images that go through the model at once; those of other sizes go apart, see
                `mmagg.apis.batches`. With `tile` it counts tiles.
            score_thr: less certain instances are left out; from 0 to 1.
            classes: names of those that are wanted; all by default.
            max_detections: the most certain ones of an image that are kept. A model returns no more than its config
                says.
            tile: side of the tiles in pixels, in which large images are predicted; by default an image is resized as a
                whole, see `mmagg.apis.tiles`.
            overlap: of neighbouring tiles, as a share of their side.
            full_image: predict the whole image, resized, as well as its tiles.
            tta: merge the predictions for several views of each image, see `mmagg.apis.tta`.
            stream: return a generator that holds one batch in memory instead of a list.
            rgb: arrays and tensors are RGB instead of BGR. A PIL image says itself what it is.
            workers: processes that read and prepare images; 0: this one. Each has up to two batches ready.
            on_error: is called with the name of an image that cannot be used, and the error, and the image is left out.
                By default, an image in a folder or of a glob is named on stderr and left out; elsewhere the error is
                raised.

        Returns:
            A `Result` for a single image, None where it is left out; a list of them for several; or, with `stream`, a
            generator.

        Raises:
            InputError: an argument cannot be used, or an image cannot be read or is none.
        """
        self._check(score_thr, classes, max_detections, tile=tile, overlap=overlap, tta=tta)
        for name, value, least in (('batch_size', batch_size, 1), ('workers', workers, 0)):
            if value < least:
                raise InputError(f'{name} {value}: should be at least {least}')
        sources = image_sources(images, rgb=rgb)
        if tile is None:
            predicted = self._whole(sources, batch_size, workers, tta)
        else:
            predicted = self._tiled(sources, tile, overlap, full_image, batch_size, score_thr)
        report = on_error or (_named_on_stderr if sources.kind == 'folder' else _raised)
        results = self._results(predicted, report, score_thr, classes, max_detections)
        if stream:
            return results
        return next(results, None) if sources.kind == 'image' else list(results)

    def predict(self, images: Iterable[np.ndarray], *, batch_size: int = 1, tta: bool = False) -> list[InstanceData]:
        """All that the model finds in arrays, without a threshold, as a sample of MMDetection has it.

        Args:
            images: arrays as of `bgr_image`.
            batch_size: that go through the model at once.
            tta: as of a call.

        Returns:
            For each image labels, scores, bboxes and, if the model has them, masks, a list of RLE.

        Raises:
            InputError: an array is no image, or cannot be resized as the model needs it.
        """
        found = []
        for _, one in self._whole(image_sources(list(images)), batch_size, 0, tta):
            if isinstance(one, InputError):
                raise one
            found.append(one.pred_instances)
        return found

    def draw(
        self, image: str | Path | np.ndarray, prediction: Result | DetDataSample, score_thr: float = 0.3
    ) -> np.ndarray:
        """Draw what was found in an image; `Result.plot` draws all of a result.

        Args:
            image: a file or an array as of `bgr_image`; it is not changed.
            prediction: the result, or the sample as of `infer`, of this image.
            score_thr: less certain instances are not drawn; from 0 to 1.

        Returns:
            (H, W, 3) uint8, BGR; of an image beyond 16384 × 16384 pixels, a smaller one.
        """
        check_fraction(score_thr, 'score_thr')
        picture = bgr_image(image) if isinstance(image, np.ndarray) else Path(image)
        return draw_predictions(picture, prediction.pred_instances, self.classes, score_thr)

    def _whole(
        self, sources: ImageSources, batch_size: int, workers: int, tta: bool
    ) -> Iterator[tuple[ImageSource, DetDataSample | InputError]]:
        model, pipeline, _ = self._with_views() if tta else self._plain
        for batch in prepared_batches(sources.images, pipeline, batch_size=batch_size, workers=workers):
            ready = [data for _, data in batch if not isinstance(data, InputError)]
            samples = iter(predict_prepared(model, ready, half=self.half))
            for source, data in batch:
                yield source, data if isinstance(data, InputError) else next(samples)

    def _tiled(
        self, sources: ImageSources, tile: int, overlap: float, full_image: bool, batch_size: int, score_thr: float
    ) -> Iterator[tuple[ImageSource, DetDataSample | InputError]]:
        predict_tiles = import_module('mmagg.apis.tiles').predict_tiles

        def predict(images: Sequence[np.ndarray]) -> list[InstanceData]:
            found = self.predict(images, batch_size=batch_size)
            return [confident(one, score_thr) for one in found]  # before pieces are merged, not only after it

        for source in sources.images:
            image = source.path if source.pixels is None else source.pixels
            if source.fault is not None:
                yield source, source.fault
                continue
            try:
                found = predict_tiles(
                    predict, image, tile=tile, overlap=overlap, full_image=full_image, batch_size=batch_size
                )
            except ModelError:
                raise
            except InputError as error:
                yield source, named_by(error, str(source))
            else:
                yield source, DetDataSample(pred_instances=found, metainfo=found.metainfo)

    def _with_views(self) -> _Way:
        """With test-time augmentation; made when it is first asked for."""
        if self._augmented is None:
            cfg = deepcopy(self.model.cfg)
            use_tta(cfg, self._options)
            augmented = MODELS.build({**cfg.model, 'module': self.model})
            self._augmented = _Way(augmented, array_pipeline(cfg), cfg)
        return self._augmented

    def _results(
        self,
        predicted: Iterator[tuple[ImageSource, DetDataSample | InputError]],
        report: OnError,
        score_thr: float,
        classes: Sequence[str] | None,
        max_detections: int | None,
    ) -> Iterator[Result]:
        labels = None if classes is None else [self.classes.index(name) for name in classes]
        for source, sample in predicted:
            if isinstance(sample, InputError):
                report(str(source), sample)
                continue
            size, found = sample.ori_shape[:2], confident(sample.pred_instances, score_thr)
            result = Result.of(found, size, self.classes, name=source.name, path=source.path, pixels=source.pixels)
            if labels is not None:
                result = result[np.isin(result.labels, labels)]
            if max_detections is not None and len(result) > max_detections:
                result = result[np.sort(np.argsort(-result.scores, kind='stable')[:max_detections])]
            yield result

    def _check(
        self,
        score_thr: float,
        classes: Sequence[str] | None,
        max_detections: int | None,
        *,
        tile: int | None,
        overlap: float,
        tta: bool,
    ) -> None:
        """Refuse arguments of a call that cannot work."""
        check_fraction(score_thr, 'score_thr')
        if isinstance(classes, str):
            raise InputError(f'classes {classes!r}: should be a list, [{classes!r}]')
        if classes is not None and len(classes) == 0:
            raise InputError('classes: none is named; leave it out for all')
        if unknown := [name for name in classes or () if name not in self.classes]:
            raise InputError(f'classes: the model has no {unknown[0]!r}; it has {", ".join(self.classes)}')
        if max_detections is not None and max_detections < 1:
            raise InputError(f'max_detections {max_detections}: should be at least 1')
        if tile is not None:
            if tta:
                raise InputError('tta: not together with tile; leave out one')
            import_module('mmagg.apis.tiles').check_tiles(tile, overlap)
        cap = self.cap(tile=tile, tta=tta)
        if max_detections is not None and cap is not None and max_detections > cap.limit:
            raise InputError(
                f'max_detections {max_detections}: the model returns {cap.limit} at most; --cfg-options '
                f'{cap.key}={max_detections} raises that'
            )


def _is_name(text: str) -> bool:
    """True for what is no config, nor a checkpoint: the name of weights."""
    return '::' not in text and Path(text).suffix not in (*CONFIG_SUFFIXES, '.pth', '.pkl')


def _raised(name: str, error: InputError) -> None:
    raise error


def _named_on_stderr(name: str, error: InputError) -> None:
    tqdm.write(f'error: {one_line(error)}; skipped', file=sys.stderr)
