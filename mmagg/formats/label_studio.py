"""Images with instances as tasks of Label Studio with predictions, which it imports as they are.

Masks are its brush RLE: exact, with holes and several parts in one region. Its polygons are a single ring without
holes, so that a mask would come back as several objects, or through bridges. The project's labelling configuration
needs ``<Image name="image" value="$image"/>`` and ``<BrushLabels name="label" toName="image">`` with the classes (for
boxes without masks ``<RectangleLabels name="box" toName="image">``).

The code is that of thi.ng's rle-pack, as in label-studio-converter's ``brush.py``: 32 bits with the number of values, 5
with their width less 1, 4 times 4 with four widths of lengths less 1; then for each run one bit (1: it repeats a
value), two bits which of the widths its length has, the length less 1, and the value. Values are bytes of RGBA pixels,
all four 255 inside the mask.
"""

from typing import Any

import numpy as np

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.io.errors import InputError
from mmagg.rle.codes import decode_window, mask_box

WIDTHS = (3, 4, 8, 16)
CHANNELS = 4  # RGBA
MOST = 2**32 - 1  # values of a mask, whose number has 32 bits


def label_studio_task(image: AnnotatedImage, *, url: str | None = None) -> dict[str, Any]:
    """A task with one prediction; a list of tasks is what Label Studio imports.

    Args:
        image: its instances.
        url: where Label Studio finds the image, such as ``/data/local-files/?d=street.jpg``; by default the image's
            name, which has to be replaced.
    """
    task: dict[str, Any] = {'data': {'image': image.name if url is None else url}}
    prediction: dict[str, Any] = {'model_version': 'mmagg', 'result': [_region(image, i) for i in range(len(image))]}
    if image.scores is not None and len(image):
        prediction['score'] = float(np.mean(image.scores))
    return {**task, 'predictions': [prediction]}


def _region(image: AnnotatedImage, index: int) -> dict[str, Any]:
    height, width = image.size
    name, mask = image.classes[int(image.labels[index])], image.masks[index]
    kind, from_name = ('rectanglelabels', 'box') if mask is None else ('brushlabels', 'label')
    region: dict[str, Any] = {
        'id': f'instance_{index}',
        'type': kind,
        'from_name': from_name,
        'to_name': 'image',
        'original_width': width,
        'original_height': height,
        'image_rotation': 0,
    }
    if mask is None:
        x1, y1, x2, y2 = (image.boxes[index].astype(float) * 100 / [width, height, width, height]).tolist()
        value: dict[str, Any] = {'x': x1, 'y': y1, 'width': x2 - x1, 'height': y2 - y1, 'rotation': 0}
    else:
        value = {'format': 'rle', 'rle': brush_rle(mask)}
    region['value'] = {**value, kind: [name]}
    if image.scores is not None:
        region['score'] = float(image.scores[index])
    if image.tracks is not None:
        region['meta'] = {'text': [f'track {int(image.tracks[index])}']}
    return region


def brush_rle(mask: dict) -> list[int]:
    """A mask, RLE, in Label Studio's code for brushes, bytes as numbers; only its box is decoded.

    Raises:
        InputError: the image has more values than the code counts.
    """
    height, width = mask['size']
    if CHANNELS * height * width > MOST:
        raise InputError(f"{width} × {height} pixels: Label Studio's masks have up to {MOST // CHANNELS:,}")
    x, y, w, h = mask_box(mask)
    inside = decode_window(mask, (x, y, w, h)) if w else np.zeros((0, 0), np.uint8)
    row, column = np.nonzero(np.diff(inside, axis=1, prepend=0, append=0))
    edges, times = np.unique((y + row) * width + x + column, return_counts=True)
    edges = edges[times == 1]  # a run to the end of a row may go on in the next one
    ends = np.append(edges[(edges > 0) & (edges < height * width)], height * width)
    within = (np.arange(len(ends)) % 2 == 1) ^ (edges[:1] == 0).any()
    bits = [f'{CHANNELS * height * width:032b}{8 - 1:05b}', *(f'{width - 1:04b}' for width in WIDTHS)]
    for length, one in zip((CHANNELS * np.diff(ends, prepend=0)).tolist(), within.tolist(), strict=True):
        longest = 1 << WIDTHS[-1]
        for part in [longest] * (length // longest) + [length % longest] * (length % longest > 0):
            which = next(i for i, width in enumerate(WIDTHS) if part <= 1 << width)
            bits.append(f'1{which:02b}{part - 1:0{WIDTHS[which]}b}{255 * one:08b}')
    text = ''.join(bits)
    text += '0' * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, 'big'))
