"""`Segmenter` of an exported model: as that of a checkpoint, in one made by hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from colour_model import CLASSES, RECTANGLES, colour_model, scene
from PIL import Image

from mmagg.apis.result import Result
from mmagg.apis.segmenter import Segmenter
from mmagg.io.errors import InputError


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_model(tmp_path_factory.mktemp('exported') / 'colours.onnx')


@pytest.fixture(scope='module')
def segmenter(model: Path) -> Segmenter:
    return Segmenter(model)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The scene, parts of it, and its mirror image."""
    folder = tmp_path / 'images'
    (folder / 'deep').mkdir(parents=True)
    for name, image in (('a.png', scene()), ('b.png', scene()[:, ::-1]), ('deep/wide.png', scene()[:40])):
        cv2.imwrite(str(folder / name), image)
    return folder


def same(one: Result, other: Result) -> bool:
    arrays = ('boxes', 'scores', 'labels')
    return one.rles == other.rles and all(np.array_equal(getattr(one, x), getattr(other, x)) for x in arrays)


def test_what_is_there_is_found(segmenter: Segmenter) -> None:
    """Rectangles at multiples of 4 pixels are exact, but for a rim: their maps are a quarter of the image's size."""
    found = segmenter(scene())
    assert segmenter.classes == CLASSES
    assert found.size == (64, 64)
    assert found.names == ['blue', 'green', 'red']
    np.testing.assert_allclose(found.scores, (np.array([255, 230, 204]) / 255) ** 2, atol=1e-5)
    for mask, box, (rows, columns) in zip(found.masks(), found.boxes, RECTANGLES, strict=True):
        want = np.zeros((64, 64), bool)
        want[rows, columns] = True
        assert (mask & want).sum() / (mask | want).sum() > 0.95
        np.testing.assert_allclose(box, [columns.start, rows.start, columns.stop, rows.stop], atol=1)


def test_every_kind_of_input(segmenter: Segmenter, folder: Path) -> None:
    path = folder / 'a.png'
    want = segmenter(path)
    assert (want.path, want.name) == (path, 'a.png')
    rgb = np.ascontiguousarray(scene()[..., ::-1])
    for image, more in ((str(path), {}), (scene(), {}), (rgb, {'rgb': True}), (Image.fromarray(rgb), {})):
        assert same(segmenter(image, **more), want), type(image)
        (listed,) = segmenter([image], **more)
        assert same(listed, want)
    assert [one.name for one in segmenter(folder)] == ['a.png', 'b.png', 'deep/wide.png']
    assert [one.name for one in segmenter(image for image in [path, scene()])] == ['a.png', 'image_1']


@pytest.mark.parametrize('workers', [0, 2])
def test_a_batch_has_the_results_of_one_by_one(segmenter: Segmenter, folder: Path, workers: int) -> None:
    alone = [segmenter(path) for path in sorted(folder.rglob('*.png'))]
    together = segmenter(folder, batch_size=2, workers=workers)
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))


def test_a_stream_asks_for_a_batch_at_a_time(segmenter: Segmenter) -> None:
    asked = []

    def images():
        for i in range(4):
            asked.append(i)
            yield scene()

    stream = segmenter(images(), batch_size=2, stream=True)
    assert not asked
    assert [len(asked) for _ in stream] == [2, 2, 4, 4]
    asked.clear()
    next(segmenter(images(), batch_size=1, workers=1, stream=True))
    assert len(asked) == 2


def test_thresholds_classes_and_the_most_detections(segmenter: Segmenter) -> None:
    every = segmenter(scene(), score_thr=0)
    assert same(segmenter(scene(), score_thr=0.7), every[every.scores >= 0.7])
    assert 0 < (every.scores >= 0.7).sum() < len(every)
    assert segmenter(scene(), classes=['green', 'red']).names == ['green', 'red']
    assert segmenter(scene(), max_detections=1).names == ['blue']
    assert len(segmenter(np.zeros((30, 40, 3), np.uint8), score_thr=0)) == 0


def test_the_cap_is_of_candidates_and_of_detections(segmenter: Segmenter, tmp_path: Path) -> None:
    option = '--cfg-options model.test_cfg.max_per_img='
    few, one = segmenter.cap(), Segmenter(colour_model(tmp_path / 'one.onnx', max_per_img=1)).cap()
    assert (few.limit, one.limit) == (3, 1)
    assert few.raised('N') == f'exporting it again with --candidates N {option}N'
    assert one.raised('N') == f'exporting it again with {option}N'
    assert one.raised(3) == f'exporting it again with {option}3'
    assert one.raised(4) == f'exporting it again with --candidates 4 {option}4'


def test_tiles_are_images_of_their_own(segmenter: Segmenter, tmp_path: Path) -> None:
    whole = np.vstack([np.hstack([scene(), scene()]), np.hstack([scene(), np.zeros_like(scene())])])
    cv2.imwrite(str(tmp_path / 'whole.png'), whole)
    for image in (whole, tmp_path / 'whole.png'):
        found = segmenter(image, tile=64, overlap=0.0, batch_size=3)
        assert found.size == (128, 128)
        assert sorted(found.names) == sorted(3 * CLASSES)
        seen, alone = found.masks(), segmenter(scene()).masks()
        for y, x in ((0, 0), (0, 64), (64, 0)):
            here = seen[:, y : y + 64, x : x + 64]
            assert sorted(map(bytes, here[here.any(axis=(1, 2))])) == sorted(map(bytes, alone))


def test_images_that_cannot_be_used(segmenter: Segmenter, folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / 'b.png').write_bytes(b'no image')
    cv2.imwrite(str(folder / 'thin.png'), np.zeros((1, 5000, 3), np.uint8))
    assert [one.name for one in segmenter(folder, batch_size=4)] == ['a.png', 'deep/wide.png']
    said = capsys.readouterr().err
    assert all(f'{folder / name}: ' in said for name in ('b.png', 'thin.png'))
    with pytest.raises(InputError, match=r'b\.png: cannot be read'):
        segmenter([folder / 'a.png', folder / 'b.png'])
    with pytest.raises(InputError, match=r'thin\.png: a tile of 5000 × 1 pixels|thin\.png: .*5000 × 1 pixels'):
        segmenter(folder / 'thin.png', tile=5000)
    left: list[str] = []
    found = segmenter([folder / 'b.png', 7, scene()], on_error=lambda name, error: left.append(f'{name}: {error}'))
    assert [one.name for one in found] == ['image_2']
    assert len(left) == 2


def test_predictions_without_a_threshold_and_their_picture(segmenter: Segmenter) -> None:
    (found,) = segmenter.predict([scene()])
    want = segmenter(scene(), score_thr=0)
    assert np.array_equal(found.scores, want.scores)
    assert np.array_equal(segmenter.draw(scene(), found), segmenter.draw(scene(), want))
    assert np.array_equal(segmenter.draw(scene(), want, 0.0), want.plot())
    assert (segmenter.draw(scene(), want, 1.0) == scene()).mean() > 0.5


@pytest.mark.parametrize(
    ('more', 'said'),
    [
        ({'checkpoint': 'a.pth'}, 'has its weights in it: leave out the checkpoint a.pth'),
        ({'weights': 'mmdet/solo'}, 'leave out --weights mmdet/solo'),
        ({'device': 'cuda:0'}, 'runs on the CPU: leave out --device cuda:0'),
        ({'half': True}, 'leave out --half, or export it in half precision'),
        ({'compile': True}, 'leave out --compile'),
        ({'cfg_options': {'model.a': 1}}, 'give --cfg-options model.a=1 to `mmagg export` instead'),
        ({'trust_checkpoint': True}, 'leave out --trust-checkpoint'),
        ({'runtime': 'tensorrt'}, 'runtime tensorrt: give one of onnxruntime, openvino'),
    ],
)
def test_what_is_the_checkpoints_alone_is_refused(model: Path, more: dict, said: str) -> None:
    with pytest.raises(InputError) as caught:
        Segmenter(model, **more)
    assert said in str(caught.value)


def test_what_a_call_cannot_have_is_refused(segmenter: Segmenter) -> None:
    for more, said in (
        ({'tta': True}, 'leave out --tta'),
        ({'max_detections': 4}, r'returns 3 at most; exporting it again with .*max_per_img=4 raises that'),
        ({'classes': ['mauve']}, "no 'mauve'; it has blue"),
        ({'tile': 1}, 'tile 1'),
    ):
        with pytest.raises(InputError, match=said):
            segmenter(scene(), **more)


def test_the_cpu_is_a_device_and_its_name_may_be_given(model: Path) -> None:
    assert Segmenter(str(model), device='cpu', runtime='onnxruntime')(scene()).names == [*CLASSES]


def test_an_exported_model_is_no_checkpoint() -> None:
    with pytest.raises(InputError, match=r'model\.onnx: an exported model has its config in it'):
        Segmenter('solo.py', 'model.onnx')
    with pytest.raises(InputError, match='runtime openvino: is for an exported model'):
        Segmenter('solo.py', 'a.pth', runtime='openvino')
