"""tools/test.py --tile as a user calls it."""

import json
from pathlib import Path

import pytest

from mmagg.cli.main import COMMANDS, run


def test_tiles_give_metrics_results_and_pictures(
    tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    arguments = [tiny_config, trained / 'iter_2.pth', '--coco', shapes_folder, '--work-dir', tmp_path / 'run']
    arguments += ['--tile', 40, '--overlap', 0.3, '--full-image', '--report', tmp_path / 'report']
    arguments += ['--out', tmp_path / 'out.json', '--show-dir', tmp_path / 'show', '--cfg-options']
    arguments += ['test_dataloader.batch_size=3']
    assert run(COMMANDS['test'], [str(argument) for argument in arguments]) == 0
    assert 'coco/segm_mAP' in json.loads((tmp_path / 'run/metrics.json').read_text())
    records = json.loads((tmp_path / 'out.json').read_text())
    assert {record['image_id'] for record in records} == {1, 2}
    assert {tuple(record['segmentation']['size']) for record in records} == {(64, 64)}
    assert [path.name for path in sorted((tmp_path / 'show').iterdir())] == ['000000.png', '000001.png']
    assert (tmp_path / 'report/report.html').is_file()


def test_one_tile_is_the_image_as_it_is(tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path) -> None:
    results = []
    for tile in ([], ['--tile', 64]):
        out = tmp_path / f'out{len(results)}.json'
        arguments = [tiny_config, trained / 'iter_2.pth', '--coco', shapes_folder, '--work-dir', tmp_path / 'run']
        assert run(COMMANDS['test'], [str(argument) for argument in [*arguments, '--out', out, *tile]]) == 0
        results.append(sorted(json.loads(out.read_text()), key=str))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--overlap', '0.3'], '--overlap: is about tiles; add --tile N'),
        (['--full-image'], '--full-image: is about tiles; add --tile N'),
        (['--tile', '512', '--tta'], '--tile: does not go with --tta, which takes whole images'),
        (['--tile', '3'], '--tile 3: at least 16 pixels'),
        (['--tile', '64', '--overlap', '1'], '--overlap 1.0: a share of a tile, from 0 to 0.9'),
    ],
)
def test_what_cannot_be_is_said_before_work(tiny_config: Path, tmp_path: Path, arguments, message, capsys) -> None:
    assert run(COMMANDS['test'], [str(tiny_config), 'none.pth', '--work-dir', str(tmp_path / 'run'), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_tiles_on_two_processes(
    run, root: Path, tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    metrics = []
    for processes in (1, 2):
        work_dir = tmp_path / str(processes)
        arguments = ('--coco', shapes_folder, '--work-dir', work_dir, '--tile', 40)
        done = run('dist_test.sh', tiny_config, trained / 'iter_2.pth', processes, *arguments, timeout=400)
        assert done.returncode == 0, done.stderr
        metrics.append(json.loads((work_dir / 'metrics.json').read_text()))
    assert metrics[0] == metrics[1]
