"""Export: a config and a checkpoint as one ONNX file, which runs without PyTorch and MMDetection."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mmagg.apis import export_calibration, export_check
from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.config import base_files, name_of
from mmagg.apis.export_calibration import require_usable, some_of
from mmagg.apis.inference import load_model
from mmagg.apis.named_weights import chosen, file_of
from mmagg.export.graphs import graph_of, images_at_once
from mmagg.export.half import in_half
from mmagg.export.int8 import quantised
from mmagg.export.onnx_export import onnx_model, without_source
from mmagg.io.errors import InputError
from mmagg.io.files import check_file, written_whole
from mmagg.io.paths import keep_apart
from mmagg.models.heads import BoxedMaskHead
from mmagg.runtime.description import BACKENDS, KEY, Description, part_to_json
from mmagg.runtime.grid_post_processor import NMS
from mmagg.visualization.colours import class_colour

NEEDED = ('onnx', 'onnxscript')
# Transforms that leave the pixels of a test image as they are.
IDLE = (
    'LoadImageFromFile',
    'LoadImageFromNDArray',
    'ThreeChannels',
    'LoadAnnotations',
    'LoadPolygonAnnotations',
    'PackDetInputs',
)
MULTIPLE = 32  # of the padded sides: the coarsest stride of backbones


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: of the file.
        description: of the model; None of a part that predicts nothing.
        opset: version of ONNX's operators.
        outputs: names of its outputs.
        checks: how it compares with the detector in each runtime, if that was asked for.
    """

    path: Path
    description: Description | None
    opset: int
    outputs: tuple[str, ...]
    checks: tuple[export_check.Checked, ...] = ()


def export(
    config: str | Path | Config | None = None,
    checkpoint: str | Path | None = None,
    *,
    out: str | Path,
    weights: str | Path | None = None,
    shape: tuple[int, int] | None = None,
    batch: int | None = None,
    candidates: int | None = None,
    part: str = 'all',
    float_image: bool = False,
    half: bool = False,
    int8: bool = False,
    calibrate: str | Path | None = None,
    check: str | Path | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> Exported:
    """Write a trained model as ONNX.

    Args:
        config: a config file, ``mmagg::<path>`` or ``mmdet::<path>``; not needed for `weights` that have a name.
        checkpoint: a .pth file or a URL; all of its weights must fit.
        out: the file, .onnx.
        weights: instead of a checkpoint: a name that ``mmagg weights`` lists, a file or a URL; others' are converted.
        shape: height and width of the only input, into which images are fitted; None: any.
        batch: number of images at once; None: any, but 1 with AggMask.
        candidates: of an image, whose masks are computed; by default 300, with boxes as many as it may find.
        part: 'all', or 'neck' for the pyramid alone, which takes any head.
        float_image: the input is float32 with values from 0 to 255 instead of uint8.
        half: weights and arithmetic in float16, for GPUs; input and outputs stay as they are.
        int8: convolutions of backbone, neck and towers in int8, for CPUs; with `calibrate`.
        calibrate: a folder, a glob or a file of images such as the model will see, whose activations give the ranges of
            int8; of many, 100 evenly from all, in the order of their names.
        check: a folder, a glob or a file of images, of many 50, which are predicted by the detector and by the file in
            each runtime that is installed. A float32 file whose results are others is not written.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.

    Raises:
        InputError: the config, the checkpoint or an option cannot be used, a package is missing, or the check failed.
    """
    out = Path(out)
    if out.suffix != '.onnx':
        raise InputError(f'--out {out}: the file is an ONNX file; name it {out.with_suffix(".onnx").name}')
    for name, value in (('batch', batch), ('candidates', candidates), *(('shape', side) for side in shape or ())):
        if value is not None and value < 1:
            raise InputError(f'--{name} {value}: should be at least 1')
    refuse_together(part=part, candidates=candidates, half=half, int8=int8, calibrate=calibrate, check=check)
    needed = (*NEEDED, 'onnxruntime') if int8 else NEEDED
    if missing := [name for name in needed if find_spec(name) is None]:
        raise InputError(f"{missing[0]} is not installed, which writes ONNX files: pip install 'mmagg[onnx]'")
    calibration = [] if calibrate is None else some_of(calibrate, export_calibration.MOST, '--calibrate')
    checked = [] if check is None else some_of(check, export_check.MOST, '--check')
    if checked:
        export_check.installed_runtimes()
    secure_loading(trust=trust_checkpoint)
    read = [] if config is None else [Path(name_of(config)), *base_files(config)]
    keep_apart({'--out': out}, [*read, checkpoint, file_of(weights), calibrate, check])
    check_file(out)
    config, checkpoint, cfg_options = chosen(config, checkpoint, weights, cfg_options, trust=trust_checkpoint)
    model = load_model(config, checkpoint, 'cpu', cfg_options)
    graph = graph_of(model, part=part, candidates=candidates)
    normalisation, divisor = preprocessing_of(model)
    if batch is None:
        batch = images_at_once(graph)
    description = None
    if part == 'all':
        description = describe(model, graph, shape=shape, divisor=divisor, mean=_bgr_mean(normalisation))
        require_usable([*calibration, *checked], description)
    content = onnx_model(
        graph,
        batch=batch,
        shape=shape,
        divisor=divisor,
        normalisation=normalisation,
        uint8=not float_image,
        metadata={KEY: description.to_json() if description else part_to_json(part)},
    )
    if half:
        content = in_half(content)
    if int8:
        assert description is not None
        dtype = np.float32 if float_image else np.uint8
        content = quantised(content, export_calibration.inputs(calibration, description, batch=batch, dtype=dtype))
    checks: tuple[export_check.Checked, ...] = ()
    with written_whole(out) as temporary:
        temporary.write_bytes(without_source(content).SerializeToString())
        if checked:
            try:
                checks = export_check.compared(model, temporary, checked)
            except InputError as error:
                raise InputError(str(error).replace(str(temporary), str(out))) from error
            if not half and not int8:
                export_check.require_close(checks, out)
    return Exported(out, description, content.opset_import[0].version, tuple(graph.outputs), checks)


def refuse_together(
    *,
    part: str,
    candidates: int | None,
    half: bool,
    int8: bool,
    calibrate: str | Path | None,
    check: str | Path | None,
) -> None:
    """Refuse arguments of `export` that do not go together.

    Raises:
        InputError: names them.
    """
    if int8 and calibrate is None:
        raise InputError('--int8: takes --calibrate FOLDER, images such as the model will see')
    if calibrate is not None and not int8:
        raise InputError('--calibrate: is of --int8 alone; add that, or leave this out')
    if int8 and half:
        raise InputError('--int8: not together with --half; leave out one')
    for flag, given in (('--int8', int8), ('--check', check is not None)):
        if given and part != 'all':
            raise InputError(f'{flag}: not with --part {part}, which has no test settings by which images are prepared')
    if candidates is not None and part != 'all':
        raise InputError(f'--candidates {candidates}: not with --part {part}, which chooses none; leave it out')


def preprocessing_of(model: Any) -> tuple[dict[str, Any], int]:
    """The normalisation of a detector's images, as `onnx_export.preprocessing` takes it, and their divisor.

    Raises:
        InputError: images are padded to a number that the file cannot have.
    """
    given = model.data_preprocessor
    normalises = getattr(given, '_enable_normalize', False)
    divisor = given.pad_size_divisor
    if divisor % MULTIPLE:
        raise InputError(
            f'model.data_preprocessor.pad_size_divisor is {divisor}: an exported model pads to a multiple of '
            f'{MULTIPLE}; --cfg-options model.data_preprocessor.pad_size_divisor={MULTIPLE}'
        )
    return dict(
        mean=given.mean.flatten().tolist() if normalises else [0.0] * 3,
        std=given.std.flatten().tolist() if normalises else [1.0] * 3,
        rgb=bool(given._channel_conversion),
        pad_value=float(given.pad_value),
    ), divisor


def _bgr_mean(normalisation: dict[str, Any]) -> tuple[float, float, float]:
    mean = normalisation['mean']
    first, second, third = mean[::-1] if normalisation['rgb'] else mean
    return first, second, third


def describe(
    model: Any, graph: Any, *, shape: tuple[int, int] | None, divisor: int, mean: tuple[float, float, float]
) -> Description:
    """What a reader of the file needs to know.

    Args:
        model: from `load_model`.
        graph: of `graph_of`.
        shape: as of `export`.
        divisor: of the padded sides.
        mean: BGR, of the padding to a fixed shape.

    Raises:
        InputError: the test pipeline does more than to resize, or the NMS is another than ours.
    """
    head = model.mask_head
    boxed = isinstance(head, BoxedMaskHead)
    keys = BOXED_KEYS if boxed else GRID_KEYS
    settings: dict[str, Any] = {key: getattr(head.post_process, key) for key in keys}
    if not boxed:
        nms = head.post_process.nms
        if type(nms).__name__ not in NMS:
            raise InputError(
                f'model.test_cfg.nms is of the type {type(nms).__name__}: an exported model has {" or ".join(NMS)}'
            )
        settings['nms'] = dict(type=type(nms).__name__, **vars(nms))
    return Description(
        family='boxed' if boxed else 'grid',
        classes=tuple(model.dataset_meta['classes']),
        colours=tuple(class_colour(label)[::-1] for label in range(len(model.dataset_meta['classes']))),
        config=Path(getattr(model.cfg, 'filename', None) or '').name,
        **resize_of(model.cfg),
        shape=shape,
        mean=mean,
        divisor=divisor,
        mask_stride=4 if boxed else mask_stride(head),
        candidates=graph.candidates,
        test_cfg=settings,
    )


GRID_KEYS = ('score_thr', 'mask_thr', 'nms_pre', 'filter_thr', 'max_per_img')
# A boxed model's thresholds of scores are in the graph.
BOXED_KEYS = ('iou_thr', 'max_per_img', 'sqrt_score', 'clip_boxes', 'mask_thr')


def mask_stride(head: Any) -> int:
    """Pixels of the network's input per pixel of the masks, which have the first level's size."""
    return getattr(head.mask_branch, 'mask_stride', None) or head.mask_branch.strides[0] // 2


def resize_of(cfg: Config) -> dict[str, Any]:
    """`scale`, `keep_ratio` and `backend` of the test pipeline's resizing, as in `Description`.

    Raises:
        InputError: there is none, or it is of another kind, or the pipeline does more.
    """
    found = None
    for step in cfg.test_dataloader.dataset.pipeline:
        if step['type'] == 'Resize' and found is None and step.get('scale') and not step.get('scale_factor'):
            found = step
        elif step['type'] not in IDLE:
            raise InputError(
                f'the test pipeline has {step["type"]}: an exported model prepares images by one Resize alone'
            )
    if found is None:
        raise InputError('the test pipeline has no Resize to a scale, by which an exported model prepares images')
    backend, interpolation = found.get('backend') or 'cv2', found.get('interpolation') or 'bilinear'
    if backend not in BACKENDS or interpolation != 'bilinear':
        raise InputError(
            f"the test pipeline's Resize is by {backend}, {interpolation}: an exported model resizes bilinearly by "
            f'{" or ".join(BACKENDS)}'
        )
    scale = found['scale']
    first, second = (scale, scale) if isinstance(scale, int) else scale
    return dict(scale=(int(first), int(second)), keep_ratio=bool(found.get('keep_ratio', False)), backend=backend)
