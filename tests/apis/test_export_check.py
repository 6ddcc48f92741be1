"""The images of a check and of a calibration, what is refused, and a file beside a stand-in for its detector."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmagg.apis import export_check, exporting
from mmagg.apis.export_calibration import inputs, some_of
from mmagg.apis.export_check import Checked, compared, in_torch, require_close
from mmagg.apis.exporting import refuse_together
from mmagg.export.parity import parity
from mmagg.io.errors import InputError
from mmagg.runtime.description import Description
from mmagg.runtime.found import Found

DESCRIPTION = Description(family='grid', classes=('fig', 'date'), scale=(96, 64), test_cfg={})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven images whose values are their places."""
    for i in range(7):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((32, 48, 3), i, np.uint8))
    return tmp_path


def test_images_are_taken_evenly_in_the_order_of_their_names(folder: Path) -> None:
    def places(most: int) -> list[int]:
        return [int(image.read()[0, 0, 0]) for image in some_of(folder, most, '--check')]

    assert places(7) == places(100) == [0, 1, 2, 3, 4, 5, 6]
    assert places(4) == [0, 2, 4, 6]
    assert places(3) == [0, 3, 6]
    assert places(1) == [0]


def test_no_images_are_refused_with_the_flag(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'^--calibrate .*: no images in it'):
        some_of(tmp_path, 3, '--calibrate')
    with pytest.raises(InputError, match=r'^--check .*: no such file or folder'):
        some_of(tmp_path / 'gone', 3, '--check')


def test_calibration_has_the_pixels_that_the_runtime_makes(folder: Path) -> None:
    images = some_of(folder, 2, '--calibrate')
    first, second = (feed['image'] for feed in inputs(images, DESCRIPTION, batch=None, dtype=np.uint8))
    assert first.shape == (1, 3, 64, 96)
    assert (first.dtype, first.flags['C_CONTIGUOUS']) == (np.uint8, True)
    assert (first.max(), second.min()) == (0, 4)
    fixed = replace(DESCRIPTION, shape=(80, 80))
    (padded, _) = inputs(images, fixed, batch=2, dtype=np.float32)
    assert (padded['image'].shape, padded['image'].dtype) == ((2, 3, 80, 80), np.float32)
    assert padded['img_shape'].tolist() == [[53, 80]] * 2


def test_a_broken_image_is_named(folder: Path) -> None:
    (folder / '0.png').write_bytes(b'no image')
    with pytest.raises(InputError, match=r'0\.png: cannot be read as an image$'):
        list(inputs(some_of(folder, 7, '--calibrate'), DESCRIPTION, batch=None, dtype=np.uint8))


@pytest.mark.parametrize(
    ('given', 'line'),
    [
        (dict(int8=True), '--int8: takes --calibrate'),
        (dict(calibrate='images'), '--calibrate: is of --int8 alone'),
        (dict(int8=True, calibrate='images', half=True), '--int8: not together with --half'),
        (dict(int8=True, calibrate='images', part='neck'), '--int8: not with --part neck'),
        (dict(check='images', part='neck'), '--check: not with --part neck'),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=f'^{line}'):
        refuse_together(**dict(part='all', candidates=None, half=False, int8=False, calibrate=None, check=None) | given)


def found(score: float) -> Found:
    counts = {'size': [32, 48], 'counts': 'PQ1'}
    return Found(
        (32, 48), np.zeros((1, 4), np.float32), np.array([score], np.float32), np.zeros(1, np.int64), (counts,)
    )


def test_the_file_is_refused_in_one_line_that_says_by_how_much() -> None:
    close = Checked('onnxruntime', parity([found(0.5)], [found(0.5)]), (0.2, 0.1))
    require_close([close], Path('a.onnx'))
    apart = Checked('openvino', parity([found(0.5)], [found(0.75)]), (0.2, 0.1))
    with pytest.raises(InputError, match=r'^a\.onnx: not written, .*: openvino: .*\|Δscore\| ≤ 2\.5e-01.*$') as error:
        require_close([close, apart], Path('a.onnx'))
    assert '\n' not in str(error.value)


def test_each_runtime_is_compared_and_timed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Exported:
        description = DESCRIPTION

        def __init__(self, file: Path, *, runtime: str) -> None:
            self.runtime = runtime

        def __call__(self, images: list[np.ndarray]) -> list[Found]:
            return [found(0.5 + (self.runtime == 'openvino') * int(image[0, 0, 0]) / 100) for image in images]

    monkeypatch.setattr(export_check, 'ExportedModel', Exported)
    monkeypatch.setattr(export_check, 'installed_runtimes', lambda: ['onnxruntime', 'openvino'])
    monkeypatch.setattr(export_check, 'in_torch', lambda *_: found(0.5))
    first, second = compared(None, Path('a.onnx'), some_of(folder, 7, '--check'))
    assert (first.runtime, first.parity.images, first.parity.score) == ('onnxruntime', 7, 0)
    assert second.runtime == 'openvino'
    assert second.parity.score == pytest.approx(0.06)
    assert min(first.seconds) > 0
    assert str(second).startswith('openvino: 7 and 7 instances in 7 images, 0 unmatched, |Δscore| ≤ 6.0e-02 ')


def test_a_detector_gets_the_pixels_of_a_fixed_shape() -> None:
    class Detector:
        dataset_meta = dict(classes=('fig', 'date'))

        def test_step(self, data: dict) -> list:
            self.data = data
            instances = InstanceData(labels=torch.zeros(0, dtype=torch.long), scores=torch.zeros(0), masks=[])
            instances.bboxes = torch.zeros(0, 4)
            return [SimpleNamespace(pred_instances=instances)]

    detector = Detector()
    result = in_torch(detector, np.full((32, 48, 3), 9, np.uint8), replace(DESCRIPTION, shape=(64, 80)))
    assert (result.size, len(result)) == ((32, 48), 0)
    (image,), (sample,) = detector.data['inputs'], detector.data['data_samples']
    assert (tuple(image.shape), image.dtype) == ((3, 64, 80), torch.uint8)
    assert sample.metainfo['img_shape'] == (53, 80)
    assert sample.metainfo['ori_shape'] == (32, 48)
    assert (image[:, :53] == 9).all()
    assert (image[:, 53:] == torch.tensor(np.round(DESCRIPTION.mean))[:, None, None]).all()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of an export up to the graph is there already; the check finds the score that differs."""
    onnx = pytest.importorskip('onnx', reason='the tests of exports need the package onnx')
    pytest.importorskip('onnxscript', reason='the tests of exports need the package onnxscript')
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> g (float[B] a) => (float[B] b) {b = Abs(a)}'
    )
    for name, result in dict(
        chosen=('config', 'checkpoint', None),
        load_model=None,
        graph_of=SimpleNamespace(outputs=('b',), candidates=1),
        preprocessing_of=(dict(mean=[0.0] * 3, rgb=False), 32),
        images_at_once=None,
        describe=DESCRIPTION,
        onnx_model=model,
    ).items():
        monkeypatch.setattr(exporting, name, lambda *_, result=result, **__: result)

    def compared(model: Any, file: Path, images: Any) -> tuple[Checked, ...]:
        assert file.stat().st_size
        return (Checked('onnxruntime', parity([found(0.5)], [found(0.6)]), (0.2, 0.1)),)

    monkeypatch.setattr(export_check, 'compared', compared)
    monkeypatch.setattr(export_check, 'installed_runtimes', lambda: ['onnxruntime'])


def test_a_float32_file_that_differs_is_not_written(traced: None, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out' / 'a.onnx'
    with pytest.raises(InputError, match='not written'):
        exporting.export(out=out, check=folder)
    assert list(out.parent.iterdir()) == []
    done = exporting.export(out=out)
    assert (done.checks, out.stat().st_size > 0) == ((), True)
    before = out.read_bytes()
    with pytest.raises(InputError, match='not written'):
        exporting.export(out=out, check=folder)
    assert list(out.parent.iterdir()) == [out]
    assert out.read_bytes() == before


def test_a_float16_file_that_differs_is_written_and_reported(traced: None, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out' / 'a.onnx'
    (check,) = exporting.export(out=out, half=True, check=folder).checks
    assert check.parity.score == pytest.approx(0.1)
    assert out.stat().st_size > 0
