"""`mmagg export`: a file that predicts what its checkpoint does, and what is refused before the work."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmagg.apis import Segmenter, exporting
from mmagg.cli.main import main
from mmagg.costs.random_model import random_model
from mmagg.visualization.colours import class_colour

for package in ('onnx', 'onnxscript', 'onnxruntime'):
    pytest.importorskip(package, reason="pip install 'mmagg[onnx]' to export")

CONFIG = 'configs/demo/meinst_tiny_shapes.py'
OPTIONS = {'model.test_cfg.score_thr': 0.0, 'model.mask_head.masks.codec.dictionary': None}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('export') / 'random.pth'
    torch.save(dict(state_dict=random_model(CONFIG, OPTIONS).state_dict(), meta={}), path)
    return path


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    for number, size in enumerate([(60, 80), (80, 50)]):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), cv2.resize(small, size[::-1]))
    return folder


def words(checkpoint: Path, out: Path, *others: object) -> list[str]:
    options = [f'{key}={value}' for key, value in OPTIONS.items()]
    return ['export', CONFIG, *map(str, (checkpoint, '--out', out, *others)), '--cfg-options', *options]


def test_a_file_predicts_what_its_checkpoint_does(checkpoint: Path, images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / 'model.onnx'
    assert main(words(checkpoint, out, '--shape', 128, 160, '--check', images)) == 0
    line, *checks = capsys.readouterr().out.splitlines()
    assert line.startswith(f'{out}: ')
    assert line.endswith(' MB, opset 18, boxes, scores, labels, masks')
    assert all(' 0 unmatched, ' in check for check in checks)
    assert checks
    assert 'instances in 2 images' in checks[0]
    assert not checks[0].startswith('onnxruntime: 0 '), 'the comparison needs instances'
    segmenter = Segmenter(out)
    detector = Segmenter(CONFIG, checkpoint, cfg_options=OPTIONS, device='cpu')
    assert segmenter.classes == detector.classes
    assert segmenter.model.description.colours == tuple(
        class_colour(label)[::-1] for label in range(len(segmenter.classes))
    )
    assert str(Path.cwd()).encode() not in out.read_bytes()


@pytest.mark.parametrize(
    ('others', 'words_of_error'),
    [
        (['--candidates', 5, '--part', 'neck'], '--candidates 5: not with --part neck'),
        (['--half', '--int8', '--calibrate', '{images}'], 'not together with --half'),
        (['--int8'], 'takes --calibrate'),
        (['--check', '{empty}'], '--check'),
        (['--check', '{broken}'], 'broken.png'),
    ],
)
def test_what_cannot_work_is_said_before_the_work(
    checkpoint: Path, images: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, others, words_of_error
) -> None:
    monkeypatch.setattr(exporting, 'onnx_model', lambda *_, **__: pytest.fail('the work has begun'))
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken.png').write_bytes(b'no image')
    places = dict(images=images, empty=tmp_path / 'empty', broken=tmp_path / 'broken.png')
    given = [str(one).format(**places) for one in others]
    assert main(words(checkpoint, tmp_path / 'a.onnx', *given)) == 2
    assert words_of_error in capsys.readouterr().err
    assert not (tmp_path / 'a.onnx').exists()


def test_a_checkpoint_of_another_model_is_refused(checkpoint: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / 'a.onnx'
    assert main(['export', 'configs/demo/solo_tiny_shapes.py', str(checkpoint), '--out', str(out)]) == 2
    assert str(checkpoint) in capsys.readouterr().err
    assert not out.exists()
