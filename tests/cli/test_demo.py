"""tools/demo.py as a user calls it."""

import json
import shutil
from pathlib import Path

import cv2
import pytest
from pycocotools.coco import COCO

from mmagg.apis.inference import infer, load_model
from mmagg.cli.main import COMMANDS, run


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


def test_bad_arguments(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    images = shapes_folder / 'images/val'
    assert demo(tmp_path / 'nothing', tmp_path / 'out') == 2
    assert 'no such file or folder' in capsys.readouterr().err
    assert demo(images, images) == 2
    assert 'would overwrite' in capsys.readouterr().err
    assert demo(images, tmp_path / 'out', '--device', 'nonsense') == 2
    assert '--device nonsense' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_inference_from_arrays_and_files_agrees(trained: Path, shapes_folder: Path) -> None:
    path = shapes_folder / 'images/val/000000.png'
    model = load_model(trained / 'tiny.py', trained / 'iter_2.pth')
    assert model.dataset_meta['classes'] == ('circle', 'square', 'triangle', 'star', 'ring')
    from_file, from_array = (sample.pred_instances for sample in infer(model, [path, cv2.imread(str(path))]))
    assert len(from_file.scores) > 0
    assert from_file.scores.tolist() == from_array.scores.tolist()
    assert (from_file.masks == from_array.masks).all()
