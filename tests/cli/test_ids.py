"""Ids of any kind: everything scores as with ids 1, 2, 3, ..., and results carry the ids of the file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mmagg.cli.main import COMMANDS, run

Rename = Callable[[int], int | float | str]
KINDS: dict[str, Rename] = {
    'text': lambda i: f'{i:04d}',
    'negative, as floats': lambda i: -100.0 + i,
    'beyond 2^63': lambda i: 2**63 + i,
}
ANALYSES = {
    'analyse-errors': 'error_analysis.json',
    'analyse-groups': 'ap_by_group.json',
    'analyse-calibration': 'calibration.json',
    'analyse-precision-recall': 'precision_recall.json',
    'analyse-confusion': 'confusion.csv',
    'compare-results': 'compare.json',
}


def call(command: str, *arguments: object) -> None:
    assert run(COMMANDS[command], list(map(str, arguments))) == 0


def renamed(folder: Path, source: Path, rename: Rename) -> Path:
    """The same data with other ids, and sizes as floats."""
    shutil.copytree(source, folder)
    for path in folder.glob('annotations/*.json'):
        content = json.loads(path.read_text())
        for part in ('images', 'annotations', 'categories'):
            for entry in content[part]:
                entry |= {key: rename(entry[key]) for key in ('id', 'image_id', 'category_id') if key in entry}
        for image in content['images']:
            image |= {side: float(image[side]) for side in ('height', 'width')}
        path.write_text(json.dumps(content))
    return folder


def analysed(folder: Path, data: Path, results: Path) -> dict[str, str]:
    """What each analysis writes, but for the paths in it."""
    written = {}
    for command, name in ANALYSES.items():
        files = [data / 'annotations/instances_val.json', results, *([results] if command == 'compare-results' else [])]
        call(command, *files, '--out', folder / command)
        text = (folder / command / name).read_text()
        for path in files:
            text = text.replace(str(path), path.name)
        written[command] = text
    return written


def nearly_right(data: Path) -> list[dict]:
    """The annotated objects as results, but for every third."""
    annotations = json.loads((data / 'annotations/instances_val.json').read_text())['annotations']
    keys = 'image_id', 'category_id', 'segmentation', 'bbox'
    found = [{**{key: one[key] for key in keys}, 'score': 0.9 - 0.01 * i} for i, one in enumerate(annotations)]
    return [one for i, one in enumerate(found) if i % 3]


@pytest.fixture(scope='module')
def case(tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Tests the trained model on data; gives metrics, results and analyses."""

    def case(data: Path, *more: object) -> tuple[dict, list[dict], dict[str, str]]:
        folder = tmp_path_factory.mktemp('tested')
        out = folder / 'out.json'
        options = '--work-dir', folder / 'run', '--out', out, *more
        call('test', tiny_config, trained / 'iter_2.pth', '--coco', data, *options)
        nearly = folder / 'nearly.json'  # an untrained model's results are as wrong with any id
        nearly.write_text(json.dumps(nearly_right(data)))
        return (
            json.loads((folder / 'run/metrics.json').read_text()),
            json.loads(out.read_text()),
            analysed(folder, data, nearly),
        )

    return case


@pytest.fixture(scope='module')
def plain(case: Callable, shapes_folder: Path) -> tuple:
    return case(shapes_folder)


@pytest.mark.parametrize('kind', KINDS)
def test_results_are_those_of_numbered_data(kind: str, case, plain, shapes_folder: Path, tmp_path: Path) -> None:
    rename = KINDS[kind]
    data = renamed(tmp_path / 'data', shapes_folder, rename)
    report = ['--report', tmp_path / 'report'] if kind == 'text' else []
    metrics, results, analyses = case(data, *report)
    assert metrics == plain[0]
    expected = [{**r, **{key: rename(r[key]) for key in ('image_id', 'category_id')}} for r in plain[1]]
    assert results == expected
    assert [type(r['image_id']) for r in results] == [type(r['image_id']) for r in expected]
    assert 0 < json.loads(plain[2]['analyse-groups'])['size'][0]['ap'] < 1
    assert analyses == plain[2]


def test_training_takes_any_ids(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    data = renamed(tmp_path / 'data', shapes_folder, 'img-{}'.format)
    options = '--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1'
    call('train', tiny_config, '--coco', data, '--work-dir', tmp_path / 'run', *options)
    (scalars,) = tmp_path.glob('run/*/vis_data/scalars.json')
    assert 'coco/segm_mAP' in scalars.read_text()
