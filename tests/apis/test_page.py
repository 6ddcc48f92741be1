"""The page on which a model is tried: what it shows and writes. tests/cli/test_serve.py looks at it in a browser."""

import json
import socket
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest

from mmagg.apis import page
from mmagg.apis.page import KEPT, PICTURE, check_port, chosen, gradio, is_free, predicted, rows, written
from mmagg.apis.result import Result
from mmagg.formats.image_files import FORMATS
from mmagg.io.errors import InputError
from mmagg.rle.codes import masks_to_rle

CLASSES = 'disc', 'square'


class Segmenter:
    """Stands in for one; finds an object in each half of an image."""

    classes = CLASSES

    def __call__(self, image: np.ndarray, *, score_thr: float, tile: int | None) -> Result:
        if tile is not None and tile > len(image):
            raise InputError(f'tile {tile}: larger than the image')
        size = height, width = image.shape[:2]
        masks = np.zeros((2, height, width), bool)
        masks[0, :, : width // 2] = masks[1, :, width // 2 :] = True
        boxes = np.array([[0, 0, width // 2, height], [width // 2, 0, width, height]], np.float32)
        scores, labels = np.array([0.4, 0.9]), np.array([0, 1])
        return Result(size, CLASSES, boxes, scores, labels, tuple(masks_to_rle(masks)), pixels=image)


@pytest.fixture
def found(tmp_path: Path) -> Result:
    cv2.imwrite(str(tmp_path / 'street.png'), np.zeros((20, 30, 3), np.uint8))
    return predicted(Segmenter(), str(tmp_path / 'street.png'), None)


def test_an_image_that_cannot_be_read_is_a_line_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / 'broken.png').write_text('no image')
    line = predicted(Segmenter(), str(tmp_path / 'broken.png'), None)
    assert line.startswith('broken.png: ')
    assert '\n' not in line
    assert str(tmp_path) not in line
    assert predicted(Segmenter(), None, None) is None


def test_what_a_model_refuses_is_a_line(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'street.png'), np.zeros((20, 30, 3), np.uint8))
    assert predicted(Segmenter(), str(tmp_path / 'street.png'), 999) == 'tile 999: larger than the image'


def test_thresholds_and_classes(found: Result) -> None:
    assert (found.name, found.size) == ('street.png', (20, 30))
    assert chosen(found, 0.3, []).names == ['disc', 'square']
    assert chosen(found, 0.5, []).names == ['square']
    assert chosen(found, 0.3, ['disc']).names == ['disc']
    assert chosen(found, 0.5, ['disc']).names == []


def test_the_table_begins_with_the_most_certain(found: Result) -> None:
    assert rows(found) == [['square', 0.9, 15.0, 0.0, 30.0, 20.0, 300], ['disc', 0.4, 0.0, 0.0, 15.0, 20.0, 300]]


@pytest.mark.parametrize('form', [PICTURE, 'coco', 'csv', 'geojson', 'label_studio'])
def test_downloads(form: str, found: Result, tmp_path: Path) -> None:
    folder = tmp_path / 'downloads'
    folder.mkdir()
    path = written(found, form, folder)
    assert path.stem == 'street'
    if form == PICTURE:
        assert cv2.imread(str(path)).shape == (20, 30, 3)
    elif path.suffix != '.csv':
        assert 'street.png' in path.read_text() or form == 'geojson'
        json.loads(path.read_text())
    assert form == PICTURE or path.suffix == FORMATS[form].suffix


def test_old_downloads_go(found: Result, tmp_path: Path) -> None:
    folder = tmp_path / 'downloads'
    folder.mkdir()
    assert written(replace(found, name='n' * 250 + '.png'), 'geojson', folder).is_file()
    last = [written(found, 'csv', folder) for _ in range(KEPT + 5)][-1]
    assert len(list(folder.iterdir())) == KEPT
    assert last.is_file()


def test_a_port_that_is_taken() -> None:
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        assert not is_free('127.0.0.1', port)
        with pytest.raises(InputError, match=f'--port {port}: .*; choose another one'):
            check_port('127.0.0.1', port)
    assert is_free('127.0.0.1', port)
    with pytest.raises(InputError, match='choose another one'):
        check_port('127.0.0.1', 99999)


@pytest.mark.parametrize('host', ['::1', '[::1]'])
def test_an_address_of_ipv6(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Gradio's words it has brackets, in those of sockets none."""
    try:
        with socket.create_server(('::1', 0), family=socket.AF_INET6) as free:
            port = free.getsockname()[1]
    except OSError:
        pytest.skip('this machine has no IPv6')
    package = MagicMock()
    launch = package.Blocks.return_value.__enter__.return_value.launch
    launch.return_value = None, f'http://[::1]:{port}/', None
    monkeypatch.setattr(page, 'gradio', lambda: package)
    with page.serving(Segmenter(), host=host, port=port) as address:
        assert address == f'http://[::1]:{port}/'
    assert launch.call_args.kwargs['server_name'] == '[::1]'
    with socket.create_server(('127.0.0.1', port)), pytest.raises(InputError, match='in use'):
        check_port(host, port)  # Gradio would say that there is none


def test_a_missing_package_is_answered_with_its_line(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'gradio', None)
    for name in ('GRADIO_ANALYTICS_ENABLED', 'HF_HUB_DISABLE_TELEMETRY', 'HF_HUB_OFFLINE'):
        monkeypatch.setenv(name, '')
    with pytest.raises(InputError, match=r"pip install 'mmagg\[serve\]'"):
        gradio()
