"""Label Studio's tasks: its brush code, read as its own converter reads it, and the shape of its predictions."""

import numpy as np
import pytest

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.label_studio import brush_rle, label_studio_task
from mmagg.io.errors import InputError
from mmagg.rle.codes import masks_to_rle


def unpacked(code: list[int]) -> np.ndarray:
    """The values of thi.ng's rle-pack, bit by bit, as its documentation reads them."""
    bits = ''.join(f'{byte:08b}' for byte in code)
    at = 0

    def take(width: int) -> int:
        nonlocal at
        at += width
        return int(bits[at - width : at], 2)

    number, width = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < number:
        if take(1):
            length = take(widths[take(2)]) + 1
            values += [take(width)] * length
        else:
            length = take(widths[take(2)]) + 1
            values += [take(width) for _ in range(length)]
    assert len(values) == number
    assert len(bits) - at < 8
    return np.array(values)


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (40, 70), (200, 400)])
def test_the_brush_code_has_each_pixel(size: tuple[int, int]) -> None:
    draws = np.random.default_rng(0)
    for mask in (np.zeros(size, bool), np.ones(size, bool), draws.random(size) < 0.5, draws.random(size) < 0.001):
        values = unpacked(brush_rle(*masks_to_rle(mask[None]))).reshape(*size, 4)
        assert (values == 255 * mask[..., None]).all()


def test_a_mask_of_an_image_that_is_too_large_for_the_code_is_refused() -> None:
    with pytest.raises(InputError, match="40000 × 40000 pixels: Label Studio's masks have up to 1,073,741,823"):
        brush_rle({'size': [40000, 40000], 'counts': b''})


def test_a_task() -> None:
    masks = np.zeros((1, 20, 40), bool)
    masks[0, 3:9, 4:8] = True
    image = AnnotatedImage(
        name='a.jpg',
        size=(20, 40),
        classes=('nut', 'nail'),
        labels=np.array([1, 0]),
        masks=[*masks_to_rle(masks), None],
        boxes=np.array([[4.0, 3, 8, 9], [10, 5, 30, 15]]),
        scores=np.array([0.75, 0.25]),
        tracks=np.array([7, 8]),
    )
    task = label_studio_task(image, url='/data/local-files/?d=a.jpg')
    assert task['data'] == {'image': '/data/local-files/?d=a.jpg'}
    (prediction,) = task['predictions']
    assert prediction['score'] == 0.5
    brush, box = prediction['result']
    assert (brush['type'], brush['from_name'], brush['to_name']) == ('brushlabels', 'label', 'image')
    assert (brush['original_width'], brush['original_height'], brush['score']) == (40, 20, 0.75)
    assert brush['value'] == {'format': 'rle', 'rle': brush_rle(image.masks[0]), 'brushlabels': ['nail']}
    assert box['value'] == {'x': 25, 'y': 25, 'width': 50, 'height': 50, 'rotation': 0, 'rectanglelabels': ['nut']}
    assert brush['id'] != box['id']
    assert label_studio_task(image)['data'] == {'image': 'a.jpg'}
