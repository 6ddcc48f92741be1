"""tools/demo.py as a user calls it."""

import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmagg.apis.inference import infer, load_model
from mmagg.cli.main import COMMANDS, run
from mmagg.io.errors import InputError


@pytest.fixture
def demo(trained: Path, tmp_path: Path):
    """Runs demo.py with the trained model and every prediction shown."""

    def call(images: Path, out: Path, *more: object) -> int:
        arguments = [
            images,
            trained / 'tiny.py',
            trained / 'iter_2.pth',
            '--out-dir',
            out,
            '--score-thr',
            0,
            *more,
        ]
        return run(COMMANDS['demo'], [str(argument) for argument in arguments])

    return call


def test_a_folder_of_images(demo, shapes_folder: Path, tmp_path: Path) -> None:
    images, out = tmp_path / 'images', tmp_path / 'images/results'
    shutil.copytree(shapes_folder / 'images/val', images / 'deep')
    image = cv2.imread(str(images / 'deep/000000.png'))
    cv2.imwrite(str(images / 'a.bmp'), image)
    (images / 'notes.txt').write_text('no image')
    assert demo(images, out) == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob('*.*')) == [
        'a.bmp.png',
        'deep/000000.png',
        'deep/000001.png',
        'predictions.json',
    ]
    assert (cv2.imread(str(out / 'a.bmp.png')) != image).any()
    result = COCO(str(out / 'predictions.json'))
    annotation = result.anns[1]
    assert result.imgs[annotation['image_id']]['file_name'] == annotation['file_name'] == 'a.bmp'
    assert result.cats[annotation['category_id']]['name'] == annotation['category_name']
    assert result.annToMask(annotation).shape == (64, 64)
    assert result.annToMask(annotation).sum() == annotation['area']
    assert demo(images, out) == 0  # once more: the results of the first run are no input
    assert len(json.loads((out / 'predictions.json').read_text())['images']) == 3


def test_the_cap_of_detections(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    assert demo(shapes_folder / 'images/val', tmp_path / 'out') == 0
    line = 'the cap of 10 detections an image was reached in 2 of 2 images; --cfg-options model.test_cfg.max_per_img=N'
    assert line in capsys.readouterr().out
    assert demo(shapes_folder / 'images/val', tmp_path / 'sure', '--score-thr', 0.99) == 0
    assert 'the cap of' not in capsys.readouterr().out, 'less certain ones are not wanted'


def test_nothing_above_the_threshold_is_said_with_what_there_is(
    demo, shapes_folder: Path, tmp_path: Path, capsys
) -> None:
    images = shapes_folder / 'images/val'
    assert demo(images, tmp_path / 'out', '--score-thr', 1) == 0
    counted, hint = capsys.readouterr().out.splitlines()[-2:]
    assert counted.startswith('0 instances in 2 images')
    assert re.fullmatch(r'the highest score is 0\.\d+: a --score-thr below 1 shows more', hint)
    none = ['--cfg-options', 'model.test_cfg.score_thr=1.0']
    assert demo(images, tmp_path / 'none', *none) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        'the model finds nothing in them: has it been trained long enough?'
    )


def test_an_unreadable_image_is_skipped_and_reported(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    images = tmp_path / 'images'
    shutil.copytree(shapes_folder / 'images/val', images)
    (images / '000000.png').write_bytes(b'')
    (images / '000001.jpg').write_bytes(b'not an image')
    assert demo(images, tmp_path / 'out') == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(errors) == 2
    assert [image['file_name'] for image in json.loads((tmp_path / 'out/predictions.json').read_text())['images']] == [
        '000001.png'
    ]


def names_in(out: Path) -> list[str]:
    return [image['file_name'] for image in json.loads((out / 'predictions.json').read_text('utf-8'))['images']]


def test_images_too_thin_to_be_resized_are_skipped(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    images, out = tmp_path / 'images', tmp_path / 'out'
    shutil.copytree(shapes_folder / 'images/val', images)
    for place, shape in enumerate([(2, 2000), (1, 5000), (5000, 1)]):
        cv2.imwrite(str(images / f'{place}.png'), np.zeros((*shape, 3), np.uint8))
    assert demo(images, out) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if 'error: ' in line]
    for error, size in zip(errors, ('0.png: 2000 × 2', '1.png: 5000 × 1', '2.png: 1 × 5000'), strict=True):
        assert f'{size} pixels' in error
    assert names_in(out) == ['000000.png', '000001.png']


@pytest.mark.parametrize('end', [KeyboardInterrupt, RuntimeError])
def test_what_is_done_stays_when_the_run_ends_early(
    demo, shapes_folder: Path, tmp_path: Path, monkeypatch, end
) -> None:
    def write(picture: np.ndarray, path: Path) -> None:
        if path.name == '000001.png':
            raise end

    monkeypatch.setattr('mmagg.apis.prediction.write_image', write)
    if end is KeyboardInterrupt:
        assert demo(shapes_folder / 'images/val', tmp_path / 'out') == 130
    else:
        with pytest.raises(end):
            demo(shapes_folder / 'images/val', tmp_path / 'out')
    assert names_in(tmp_path / 'out') == ['000000.png']


def test_a_name_that_is_not_utf8(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    images, name = tmp_path / 'images', os.fsdecode(b'b\xff.png')
    images.mkdir()
    out = tmp_path / os.fsdecode(b'out\xff')
    try:
        shutil.copy(shapes_folder / 'images/val/000000.png', images / name)
    except OSError:
        pytest.skip('this file system has names in UTF-8 alone')
    assert demo(images, out) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith('out\\udcff')
    assert (out / name).is_file()
    assert names_in(out) == [name]


def test_formats_that_are_not_read_are_named(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    images = tmp_path / 'images'
    shutil.copytree(shapes_folder / 'images/val', images)
    for name in ('a.HEIC', 'b.gif', 'c.gif'):
        (images / name).touch()
    assert demo(images, tmp_path / 'out') == 1
    said = capsys.readouterr().err
    assert '3 images skipped: .gif, .heic not supported; convert to JPEG or PNG (' in said
    assert all(str(images / name) in said for name in ('a.HEIC', 'b.gif', 'c.gif'))
    assert len(names_in(tmp_path / 'out')) == 2
    assert demo(images / 'a.HEIC', tmp_path / 'out') == 2
    assert 'a.HEIC: .heic not supported' in capsys.readouterr().err


def test_images_of_others_are_not_overwritten(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    images, deep, other = tmp_path / 'images', tmp_path / 'images/deep', tmp_path / 'other'
    for folder in (images, deep, other):
        shutil.copytree(shapes_folder / 'images/val', folder)
    (other / '000001.png').unlink()
    (deep / '000001.png').rename(deep / 'mine.png')
    os.symlink(images, tmp_path / 'link')
    before = {path: path.read_bytes() for path in tmp_path.rglob('*.png')}
    for out in (images, deep, other, tmp_path, tmp_path / 'link', tmp_path / 'link/deep'):
        assert demo(images, out) == 2, out
        error = capsys.readouterr().err
        assert error.startswith(f'error: --out-dir {out}: ')
        assert error.count('\n') == 1
    assert demo(images / '000000.png', other) == 2
    assert demo(images / '000001.png', other) == 0  # not there yet
    assert demo(images, other) == 0  # now it is demo's own
    assert {path: path.read_bytes() for path in before if path.parent != other} == {
        path: content for path, content in before.items() if path.parent != other
    }


def test_bad_arguments(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    images = shapes_folder / 'images/val'
    assert demo(tmp_path / 'nothing', tmp_path / 'out') == 2
    assert 'no such file or folder' in capsys.readouterr().err
    assert demo(images, images) == 2
    assert 'would be overwritten' in capsys.readouterr().err
    assert demo(images, tmp_path / 'out', '--device', 'nonsense') == 2
    assert '--device nonsense' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_inference_from_arrays_and_files_agrees(trained: Path, shapes_folder: Path, tmp_path: Path) -> None:
    path = shapes_folder / 'images/val/000000.png'
    model = load_model(trained / 'tiny.py', trained / 'iter_2.pth')
    assert model.dataset_meta['classes'] == ('circle', 'square', 'triangle', 'star', 'ring')
    from_file, from_array = (sample.pred_instances for sample in infer(model, [path, cv2.imread(str(path))]))
    assert len(from_file.scores) > 0
    assert from_file.scores.tolist() == from_array.scores.tolist()
    assert (from_file.masks == from_array.masks).all()
    cv2.imwrite(str(tmp_path / 'thin.png'), np.zeros((2, 2000, 3), np.uint8))
    with pytest.raises(InputError, match=r'thin\.png: 2000 × 2 pixels'):
        infer(model, [tmp_path / 'thin.png'])


def test_a_killed_run_is_done_again(demo, shapes_folder: Path, tmp_path: Path, monkeypatch) -> None:
    """Its pictures are there without predictions.json."""
    images, out = tmp_path / 'images', tmp_path / 'images/results'
    shutil.copytree(shapes_folder / 'images/val', images)

    with monkeypatch.context() as patch:
        patch.setattr('mmagg.apis.prediction.write_json', lambda *_: None)  # it does not come so far
        demo(images, out)
    assert (out / '000001.png').is_file()
    assert not (out / 'predictions.json').exists()
    assert demo(images, out) == 0
    assert sorted(path.name for path in out.iterdir()) == ['000000.png', '000001.png', 'predictions.json']
