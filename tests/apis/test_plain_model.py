"""A neck that is for other numbers of channels than its backbone has."""

from pathlib import Path

import pytest

from mmagg.apis.config import load_config, shipped_config
from mmagg.apis.plain_model import check_neck
from mmagg.cli.main import COMMANDS, run
from mmagg.io.errors import InputError

SOLO = shipped_config('solo/solo_r50_fpn_1x_coco.py')


@pytest.mark.parametrize('wanted', [[256, 512, 1024, 1024], [256, 512, 1024]])
def test_what_to_write_is_named(wanted: list[int]) -> None:
    cfg = load_config(SOLO, {'model.neck.in_channels': wanted})
    with pytest.raises(
        InputError, match=r'^config x.py: model.neck.in_channels=\[256.* \[256, 512, 1024, 2048\] channels'
    ):
        check_neck(cfg, 'x.py')


@pytest.mark.parametrize(
    'config',
    [
        SOLO,
        shipped_config('own/solov2_lite0_a2fpn_320.py'),
        'mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py',  # whose neck has them in the other order
        'mmdet::ssd/ssd300_coco.py',
        'mmdet::dyhead/atss_r50_fpn_dyhead_1x_coco.py',  # a list of necks
    ],
)
def test_others_pass(config: str | Path) -> None:
    check_neck(load_config(config), 'x.py')


def test_a_training_is_refused_before_its_work_begins(tiny_config, shapes_folder, tmp_path, capsys) -> None:
    words = [tiny_config, '--coco', shapes_folder, '--work-dir', tmp_path / 'run']
    option = '--cfg-options', 'model.neck.in_channels=[8,16,32,65]'
    assert run(COMMANDS['train'], [*map(str, words), *option]) == 2
    (line,) = (one for one in capsys.readouterr().err.splitlines() if one.startswith('error'))
    assert line.endswith('but the levels of the backbone have [8, 16, 32, 64] channels: write that')
    assert not (tmp_path / 'run').exists()
