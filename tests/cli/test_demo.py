"""tools/demo.py as a user calls it."""

import json
import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmagg.apis.inference import infer, load_model
from mmagg.cli.demo import FORMATS, parser
from mmagg.cli.main import COMMANDS, run
from mmagg.formats import image_files
from mmagg.io.errors import InputError


@pytest.fixture
def demo(trained: Path, tmp_path: Path):
    """Runs demo.py with the trained model and every prediction shown."""

    def call(images: Path | list, out: Path, *more: object) -> int:
        arguments = [
            *(images if isinstance(images, list) else [images]),
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


def test_several_images_folders_and_globs_in_batches(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    one, two = tmp_path / 'one', tmp_path / 'two'
    for folder in (one, two):
        shutil.copytree(shapes_folder / 'images/val', folder)
    out = tmp_path / 'out'
    images = [one / '000000.png', two, f'{one}/*.png', one / '../one/000000.png']
    assert demo(images, out, '--batch-size', 3, '--workers', 1) == 0
    assert names_in(out) == ['one/000000.png', 'two/000000.png', 'two/000001.png', 'one/000001.png']
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob('*.png')) == sorted(names_in(out))
    alone = tmp_path / 'alone'
    assert demo(images, alone) == 0
    one_by_one, batched = (json.loads((path / 'predictions.json').read_text()) for path in (alone, out))
    assert len(one_by_one['annotations']) == len(batched['annotations']) == 40
    for first, second in zip(one_by_one['annotations'], batched['annotations'], strict=True):
        assert first['score'] == pytest.approx(second['score'], abs=1e-6)
    assert demo([one, f'{two}/*.jpg'], tmp_path / 'none') == 2
    assert f'{two}/*.jpg: no images match' in capsys.readouterr().err


def test_wanted_classes_and_the_most_certain_ones(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / 'out'
    assert demo(shapes_folder / 'images/val', out, '--max-detections', 4) == 0
    found = json.loads((out / 'predictions.json').read_text())['annotations']
    assert len(found) == 8
    assert demo(shapes_folder / 'images/val', out, '--classes', f'{found[0]["category_name"]},') == 0
    again = json.loads((out / 'predictions.json').read_text())['annotations']
    assert {one['category_name'] for one in again} == {found[0]['category_name']}
    assert demo(shapes_folder / 'images/val', out, '--classes', 'horse') == 2
    assert "no 'horse'; it has circle, square" in capsys.readouterr().err


def test_files_in_the_formats_of_other_tools(demo, shapes_folder: Path, tmp_path: Path) -> None:
    """Images whose names differ in the suffix alone have a file each."""
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    pixels = cv2.imread(str(shapes_folder / 'images/val/000000.png'))
    for name in ('a.png', 'a.bmp', 'b.c.png'):
        cv2.imwrite(str(images / name), pixels)
    others = [one for one in ('yolo', 'labelme') if find_spec(f'mmagg.formats.{one}')]
    assert demo(images, out, '--formats', ','.join(['geojson', 'coco', 'csv', 'label_studio', *others])) == 0
    suffixes = {'geojson': 'geojson', 'coco': 'json', 'csv': 'csv', 'label_studio': 'json', 'labelme': 'json'}
    for name, suffix in suffixes.items():
        if name in suffixes.keys() - {'labelme'} | {*others}:
            files = sorted(path.name for path in (out / name).iterdir())
            assert files == [f'a.{suffix}', f'a.png.{suffix}', f'b.c.{suffix}']
    assert len(json.loads((out / 'geojson/b.c.geojson').read_text())['features']) == 10
    assert json.loads((out / 'coco/b.c.json').read_text())['images'][0]['file_name'] == 'b.c.png'
    if 'yolo' in others:
        assert (out / 'yolo/classes.txt').read_text().split() == ['circle', 'square', 'triangle', 'star', 'ring']
        assert {path.name for path in (out / 'yolo/labels').iterdir()} == {'a.txt', 'a.png.txt', 'b.c.txt'}
    if 'labelme' in others:
        place = out / 'labelme' / json.loads((out / 'labelme/a.png.json').read_text())['imagePath']
        assert place.resolve() == (images / 'a.png').resolve()


def test_outlines_are_simplified(demo, shapes_folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    image = shapes_folder / 'images/val/000000.png'
    given = []
    monkeypatch.setattr('mmagg.formats.labelme.labelme_json', lambda _, tolerance: given.append(tolerance) or {})
    for out, more in ((tmp_path / 'exact', []), (tmp_path / 'simple', ['--tolerance', '2'])):
        assert demo(image, out, '--formats', 'labelme,csv', *more) == 0
    assert given == [0, 2]
    assert demo(image, tmp_path / 'simple', '--formats', 'csv', '--tolerance', '2') == 2
    assert 'tolerance: for the outlines of yolo and labelme alone' in capsys.readouterr().err


def test_files_of_others_in_the_place_of_a_format(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    mine = tmp_path / 'out/labelme/000000.json'
    mine.parent.mkdir(parents=True)
    mine.write_text('drawn by hand')
    assert demo(shapes_folder / 'images/val/000000.png', tmp_path / 'out', '--formats', 'labelme') == 2
    assert f'{mine} is not from an earlier run' in capsys.readouterr().err
    assert mine.read_text() == 'drawn by hand'


def test_a_link_to_the_images_in_the_place_of_a_format(demo, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(shapes_folder / 'images/val', tmp_path / 'images')
    before = sorted((tmp_path / 'images').iterdir())
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/labelme').symlink_to(tmp_path / 'images')
    assert demo(tmp_path / 'images', tmp_path / 'out', '--formats', 'labelme') == 2
    assert f'{tmp_path / "out/labelme"}: leads to' in capsys.readouterr().err
    assert sorted((tmp_path / 'images').iterdir()) == before


@pytest.mark.parametrize(
    ('typed', 'images', 'config', 'checkpoint'),
    [
        ('a.jpg b.jpg c.py d.pth', 'a.jpg b.jpg', 'c.py', 'd.pth'),
        ('a.jpg c.py d.pth', 'a.jpg', 'c.py', 'd.pth'),
        ('a.jpg c d', 'a.jpg', 'c', 'd'),
        ('a.jpg mmagg::c.py d', 'a.jpg', 'mmagg::c.py', 'd'),
        ('a.jpg b.jpg --weights n', 'a.jpg b.jpg', None, None),
        ('a.jpg b.jpg c.py --weights f.pth', 'a.jpg b.jpg', 'c.py', None),
        ('a.jpg c.py', 'a.jpg', 'c.py', None),
        ('a.jpg', 'a.jpg', None, None),
    ],
)
def test_images_are_told_from_the_model(typed: str, images: str, config: str | None, checkpoint: str | None) -> None:
    found = parser().parse_args([*typed.split(), '--out-dir', 'o'])
    assert [str(image) for image in found.images] == images.split()
    assert (found.config, found.checkpoint) == (config, checkpoint)
    found = parser().parse_args(['--out-dir', 'o', *typed.split()])
    assert (found.config, found.checkpoint) == (config, checkpoint)


def test_what_stands_after_the_checkpoint_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(['a.jpg', 'c.py', 'd.pth', 'b.jpg', '--out-dir', 'o'])
    assert 'b.jpg: images come first, then the config, then the checkpoint' in capsys.readouterr().err


def test_the_formats_are_those_that_there_are() -> None:
    assert sorted(FORMATS) == sorted(image_files.FORMATS)


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
