"""Data that are refused before a training begins."""

from mmagg.cli.main import COMMANDS, run
from mmagg.demo.shapes import write_shapes


def test_a_semantic_branch_without_maps_is_named(root, tmp_path, capsys):
    write_shapes(tmp_path / 'data', images=1, val_images=1, size=32, seed=0)
    config = str(root / 'configs/a2fpn/htc_r50_a2fpn_20e_coco.py')
    code = run(COMMANDS['train'], [config, '--coco', str(tmp_path / 'data'), '--work-dir', str(tmp_path / 'out')])
    assert code == 2
    [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
    assert 'semantic maps (with_seg=True), but the data have none; take a config without a semantic branch' in line
