"""A trained model as one callable."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from mmagg.apis.exported_options import is_exported, refuse_exported_options, refuse_torch_options
from mmagg.apis.image_sources import ImageSources, image_sources
from mmagg.apis.prediction_engine import Cap, Engine, Predicted
from mmagg.apis.result import Result
from mmagg.apis.tiles import check_tiles, found_in_tiles
from mmagg.io.errors import InputError, ModelError, check_fraction, named_by, one_line
from mmagg.io.images import bgr_image
from mmagg.runtime.found import Found
from mmagg.visualization.picture import draw_picture
from mmagg.visualization.predictions import draw_predictions

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample
    from mmengine.config import Config

OnError = Callable[[str, InputError], None]


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
            ``mmagg weights`` lists, which stands for weights and their config; or the file of an exported model
            (``model.onnx``), alone: it runs where neither PyTorch nor MMDetection is installed.
        checkpoint: a .pth file or a URL; all of its weights must fit.
        weights: instead of a checkpoint: a name that ``mmagg weights`` lists, a file or a URL; others' are converted.
        device: e.g. ``cpu`` or ``cuda:0``; by default the GPU where there is one.
        half: compute in float16 on a GPU, in bfloat16 on the CPU, where PyTorch's autocast allows.
        compile: `torch.compile` backbone, neck and towers: minutes at the first image, faster after it.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.
        runtime: of an exported model: 'onnxruntime' or 'openvino'; by default the first that is installed.

    Attributes:
        model: the detector, in evaluation mode, or the `mmagg.runtime.exported_model.ExportedModel`.

    Raises:
        InputError: the config, the checkpoint, the exported model or the device cannot be used; or an argument does not
            go with an exported model.
    """

    def __init__(
        self,
        config_or_name: 'str | Path | Config | None' = None,
        checkpoint: str | Path | None = None,
        *,
        weights: str | Path | None = None,
        device: str | None = None,
        half: bool = False,
        compile: bool = False,
        cfg_options: dict | None = None,
        trust_checkpoint: bool = False,
        runtime: str | None = None,
    ) -> None:
        options: dict[str, Any] = {
            'weights': weights,
            'device': device,
            'half': half,
            'compile': compile,
            'cfg_options': cfg_options,
            'trust_checkpoint': trust_checkpoint,
        }
        self.engine: Engine
        if isinstance(config_or_name, str | Path) and is_exported(config_or_name):
            refuse_torch_options(config_or_name, {'checkpoint': checkpoint, **options})
            self.engine = import_module('mmagg.apis.exported_engine').ExportedEngine(config_or_name, runtime=runtime)
        else:
            refuse_exported_options(checkpoint, weights, runtime)
            self.engine = import_module('mmagg.apis.torch_engine').TorchEngine(config_or_name, checkpoint, **options)

    @property
    def model(self) -> Any:
        """The detector, in evaluation mode, or the exported model."""
        return self.engine.model

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by label."""
        return self.engine.classes

    def cap(self, *, tile: int | None = None, tta: bool = False) -> Cap | None:
        """The most detections of an image by the model's config; None if it does not say, or for tiles.

        Args:
            tile: as of a call, as `tta`.
        """
        return None if tile is not None else self.engine.cap(tta=tta)

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
            workers: processes, of an exported model threads, that read and prepare images; 0: this one. Each has up to
                two batches ready.
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
            predicted = self.engine.found(
                sources.images, batch_size=batch_size, workers=workers, tta=tta, score_thr=score_thr
            )
        else:
            predicted = self._tiled(sources, tile, overlap, full_image, batch_size, score_thr)
        report = on_error or (_named_on_stderr if sources.kind == 'folder' else _raised)
        results = self._results(predicted, report, classes, max_detections)
        if stream:
            return results
        return next(results, None) if sources.kind == 'image' else list(results)

    def predict(self, images: Iterable[np.ndarray], *, batch_size: int = 1, tta: bool = False) -> list[Any]:
        """All that the model finds in arrays, without a threshold, as the model has it.

        Args:
            images: arrays as of `bgr_image`.
            batch_size: that go through the model at once.
            tta: as of a call.

        Returns:
            For each image, as a sample of MMDetection has them, labels, scores, bboxes and, if the model has them,
            masks, a list of RLE; of an exported model, a `mmagg.runtime.found.Found`.

        Raises:
            InputError: an array is no image, or cannot be resized as the model needs it.
        """
        return self.engine.predict(image_sources(list(images)).images, batch_size=batch_size, tta=tta)

    def draw(
        self, image: str | Path | np.ndarray, prediction: 'Result | Found | DetDataSample', score_thr: float = 0.3
    ) -> np.ndarray:
        """Draw what was found in an image; `Result.plot` draws all of a result.

        Args:
            image: a file or an array as of `bgr_image`; it is not changed.
            prediction: the result, what `predict` found, or the sample as of `infer`, of this image.
            score_thr: less certain instances are not drawn; from 0 to 1.

        Returns:
            (H, W, 3) uint8, BGR; of an image beyond 16384 × 16384 pixels, a smaller one.
        """
        check_fraction(score_thr, 'score_thr')
        picture = bgr_image(image) if isinstance(image, np.ndarray) else Path(image)
        if not isinstance(prediction, Result | Found):
            return draw_predictions(picture, prediction.pred_instances, self.classes, score_thr)
        at = np.flatnonzero(prediction.scores >= score_thr)
        masks = [rle for i in at if (rle := prediction.rles[i]) is not None]
        return draw_picture(
            picture,
            masks if len(masks) == len(at) else None,
            prediction.labels[at],
            prediction.scores[at],
            prediction.boxes[at],
            self.classes,
        )

    def _tiled(
        self, sources: ImageSources, tile: int, overlap: float, full_image: bool, batch_size: int, score_thr: float
    ) -> Predicted:
        def predict(tiles: list[np.ndarray]) -> list[Found]:
            found = []  # what is less certain is left out before pieces are merged, not only after it
            images = image_sources(tiles).images
            for _, one in self.engine.found(images, batch_size=batch_size, workers=0, tta=False, score_thr=score_thr):
                if isinstance(one, InputError):
                    raise one
                found.append(one)
            return found

        for source in sources.images:
            image = source.path if source.pixels is None else source.pixels
            if source.fault is not None:
                yield source, source.fault
                continue
            assert image is not None  # as there is no fault
            try:
                found = found_in_tiles(
                    predict, image, tile=tile, overlap=overlap, full_image=full_image, batch_size=batch_size
                )
            except ModelError:
                raise
            except InputError as error:
                yield source, named_by(error, str(source))
            else:
                yield source, found

    def _results(
        self,
        predicted: Predicted,
        report: OnError,
        classes: Sequence[str] | None,
        max_detections: int | None,
    ) -> Iterator[Result]:
        labels = None if classes is None else [self.classes.index(name) for name in classes]
        for source, found in predicted:
            if isinstance(found, InputError):
                report(str(source), found)
                continue
            image = {'name': source.name, 'path': source.path, 'pixels': source.pixels}
            result = Result.of_found(found, self.classes, **image)
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
            check_tiles(tile, overlap)
        cap = self.cap(tile=tile, tta=tta)
        if max_detections is not None and cap is not None and max_detections > cap.limit:
            raise InputError(
                f'max_detections {max_detections}: the model returns {cap.limit} at most; '
                f'{cap.raised(max_detections)} raises that'
            )


def _raised(name: str, error: InputError) -> None:
    raise error


def _named_on_stderr(name: str, error: InputError) -> None:
    tqdm.write(f'error: {one_line(error)}; skipped', file=sys.stderr)
