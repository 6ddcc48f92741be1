"""tools/analysis/fit_mask_codec.py as a user calls it."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS

from mmagg.cli import fit_mask_codec as command
from mmagg.cli.main import run
from mmagg.demo.shapes import write_shapes
from mmagg.experiments.object_masks import read_masks
from mmagg.experiments.reconstruction_error import reconstruction_errors
from mmagg.models.masks import DCTMaskCodec
from mmagg.models.masks.boxed.pca_codec import Dictionary

SMALL = ('--size', 10, '--dims', 6, '--curve', 3, 9, '--workers', 1, '--device', 'cpu')


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve and four small scenes of about four objects."""
    path = tmp_path_factory.mktemp('data') / 'shapes'
    write_shapes(path, images=12, val_images=4, size=64, seed=0)
    return path


def fit(*arguments: object) -> int:
    return run(command, [str(x) for x in arguments])


def read_rows(path: Path) -> list[dict]:
    with path.open() as file:
        return list(csv.DictReader(file))


def last_line(capsys: pytest.CaptureFixture) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def config_printed(capsys: pytest.CaptureFixture) -> dict:
    """The codec that the tool prints for a config."""
    out = capsys.readouterr().out
    return eval(out[out.index('codec=') + len('codec=') :])


def test_fits_measures_and_says_how_to_use_it(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / 'new' / 'pca.npz'
    assert fit('--coco', folder, '--out', out, *SMALL) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ['pca.csv', 'pca.npz', 'pca.png']
    with np.load(out) as file:
        shapes = {key: file[key].shape for key in file.files if key != 'sigmoid'}
        assert all(file[key].dtype == np.float32 for key in shapes)
    assert shapes == {
        'components_c': (1, 6, 100),
        'mean_c': (1, 100),
        'explained_variance_c': (1, 6),
        'ratio_c': (1, 6),
    }
    assert cv2.imread(str(out.with_suffix('.png'))).std() > 0

    shown = capsys.readouterr().out
    assert '1 - mIoU in %' in shown
    rows = read_rows(out.with_suffix('.csv'))
    assert [(row['codec'], row['dims'], row['masks']) for row in rows] == [
        ('pca', dims, masks) for masks in ('fit', 'held out') for dims in ('3', '6', '9')
    ]
    codec = MODELS.build(eval(shown[shown.index('codec=') + len('codec=') :]))
    for name, row in (('train', rows[1]), ('val', rows[4])):
        masks = read_masks(folder / f'annotations/instances_{name}.json', size=10, workers=1)
        assert f'{len(masks)} masks (' in shown
        (errors,) = reconstruction_errors(codec, masks)
        for key, error in errors.items():
            assert row[key] == ('' if error is None else str(error))
        assert f'| pca | 6 | {row["masks"]} | {100 * errors["all"]:.2f} |' in shown


def test_draws_in_any_number_of_processes_and_again(folder: Path, tmp_path: Path) -> None:
    annotations = folder / 'annotations/instances_train.json'
    contents = []
    for name, workers in (('a', 1), ('b', 2)):
        for sigmoid in ('constant', 'random'):
            out = tmp_path / f'{name}_{sigmoid}.npz'
            arguments = ('--ann', annotations, '--out', out, *SMALL, '--workers', workers, '--sigmoid', sigmoid)
            assert fit(*arguments) == 0
            contents.append(Dictionary.read(out))
    for one, two in ((0, 2), (1, 3)):
        assert torch.equal(contents[one].components, contents[two].components)
    assert not torch.equal(contents[0].components, contents[1].components)


@pytest.mark.parametrize('codec', ['pca', 'dct', 'autoencoder'])
def test_compares_codecs_and_writes_the_one_asked_for(folder: Path, tmp_path: Path, capsys, codec: str) -> None:
    out, annotations = tmp_path / 'codec.npz', folder / 'annotations/instances_train.json'
    options = ('--codec', codec, '--compare', '--iterations', 20, '--held-out', annotations)
    assert fit('--ann', annotations, '--out', out, *SMALL, *options) == 0
    rows = read_rows(out.with_suffix('.csv'))
    assert len(rows) == 3 * 3 * 2
    pca, dct, ae = (
        np.array([float(row['all']) for row in rows if row['codec'] == kind and row['masks'] == 'fit'])
        for kind in ('pca', 'dct', 'autoencoder')
    )
    assert (pca <= dct).all()
    assert (ae <= pca + 0.01).all()
    used = MODELS.build(config_printed(capsys))
    assert (used.mask_size, used.num_codes, used.fitted) == (10, 6, True)
    (errors,) = reconstruction_errors(used, read_masks(annotations, size=10, workers=1))
    assert errors['all'] == pytest.approx({'pca': pca, 'dct': dct, 'autoencoder': ae}[codec][1], abs=1e-6)
    assert isinstance(used, DCTMaskCodec) == (codec == 'dct')


def test_other_codecs_alone(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / 'codec.npz'
    for codec, dims in (('autoencoder', ['6']), ('dct', ['3', '6', '9'])):
        assert fit('--coco', folder, '--out', out, *SMALL, '--codec', codec, '--iterations', 2) == 0
        rows = read_rows(out.with_suffix('.csv'))
        assert [row['dims'] for row in rows if row['masks'] == 'fit'] == dims
        assert MODELS.build(config_printed(capsys)).fitted


def test_cosines_of_large_masks_need_no_principal_components(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr('mmagg.experiments.fit_mask_codec.principal_components', None)
    out = tmp_path / 'dct.npz'
    options = ('--codec', 'dct', '--size', 96, '--dims', 60, '--curve', 20, '--workers', 1, '--device', 'cpu')
    assert fit('--coco', folder, '--out', out, *options) == 0
    assert MODELS.build(config_printed(capsys)).components.shape == (60, 96**2)
    assert [row['dims'] for row in read_rows(out.with_suffix('.csv'))] == ['20', '60'] * 2


def test_per_class_and_plain_masks(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / 'classes.npz'
    assert fit('--coco', folder, '--out', out, *SMALL, '--per-class', '--sigmoid', 'none') == 0
    codec = MODELS.build(config_printed(capsys))
    assert (codec.num_classes, codec.sigmoid) == (5, 'none')
    assert codec.components.shape == (5, 6, 100)


def test_coco_s_own_file_names(folder: Path, tmp_path: Path) -> None:
    (tmp_path / 'coco/annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        own = tmp_path / f'coco/annotations/instances_{split}2017.json'
        own.write_text((folder / f'annotations/instances_{split}.json').read_text())
    assert fit('--coco', tmp_path / 'coco', '--out', tmp_path / 'x.npz', *SMALL) == 0
    assert {row['masks'] for row in read_rows(tmp_path / 'x.csv')} == {'fit', 'held out'}


def test_bad_input_is_one_line_and_leaves_nothing(folder: Path, tmp_path: Path, capsys) -> None:
    annotations = folder / 'annotations/instances_train.json'
    empty = tmp_path / 'empty.json'
    empty.write_text(json.dumps(json.loads(annotations.read_text()) | {'annotations': []}))
    before = sorted(tmp_path.iterdir())
    out = ('--out', tmp_path / 'x.npz')
    for arguments, message in (
        (('--coco', tmp_path / 'none', *out), 'none: no such folder'),
        (('--coco', annotations, *out), f'instances_train.json: a file; name its folder, {folder}'),
        (('--coco', tmp_path, *out), f'annotations/instances_train.json is missing; `mmagg split-coco {tmp_path} '),
        (('--ann', tmp_path / 'none.json', *out), 'none.json: there is no such annotation file'),
        (
            ('--ann', annotations, '--held-out', tmp_path / 'none.json', *out),
            'none.json: there is no such annotation file',
        ),
        (('--ann', empty, *out), 'empty.json: no mask in its 0 annotations'),
        (('--ann', annotations, *out, '--dims', 99), 'directions only, fewer than --dims 99'),
        (('--ann', annotations, *out, '--size', 2, '--dims', 9), 'fewer than --dims 9'),
        (('--ann', annotations, '--out', tmp_path / 'x.npy'), 'x.npy: name an .npz file'),
        (('--ann', annotations, *out, '--codec', 'dct', '--per-class'), '--per-class: for --codec pca'),
        (('--ann', annotations, *out, '--compare', '--sigmoid', 'random'), '--sigmoid random: for --codec pca alone'),
        (('--ann', annotations, *out, '--codec', 'dct', '--sigmoid', 'none'), '--sigmoid none: for --codec pca alone'),
    ):
        assert fit(*arguments, '--workers', 1, '--device', 'cpu') == 2, arguments
        line = last_line(capsys)
        assert line.startswith('error: ')
        assert message in line
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/fit_mask_codec.py', '--ann', tmp_path / 'none.json', '--out', tmp_path / 'x.npz')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f'error: {tmp_path}/none.json: there is no such annotation file'
