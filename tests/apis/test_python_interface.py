"""Training, testing and using a model from Python."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from mmagg import apis
from mmagg.apis.config import shipped_config
from mmagg.io.errors import InputError

CLASSES = ('circle', 'square', 'triangle', 'star', 'ring')


@pytest.fixture(autouse=True)
def _loading_restored(monkeypatch):
    """It is decided for the whole process how checkpoints are read."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '')


def test_train_go_on_test_and_use(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    cfg = apis.load_config(tiny_config)
    before = cfg.to_dict()
    first = {'train_cfg.max_iters': 1}
    work_dir = apis.train(cfg, coco=shapes_folder, work_dir=tmp_path / 'run', seed=0, cfg_options=first)
    assert work_dir == tmp_path / 'run'
    assert cfg.to_dict() == before, "the caller's config stays as it was"
    assert apis.latest_checkpoint(work_dir).name == 'iter_1.pth'
    apis.train(tiny_config, coco=shapes_folder, work_dir=work_dir, resume=True)
    checkpoint = apis.latest_checkpoint(work_dir)
    assert checkpoint.name == 'iter_2.pth'
    assert apis.load_checkpoint(checkpoint)['meta']['iter'] == 2

    outputs = dict(out=tmp_path / 'results.json', show_dir=tmp_path / 'show', report=tmp_path / 'report')
    config = work_dir / 'tiny.py'
    metrics = apis.test(config, checkpoint, work_dir=tmp_path / 'test', **outputs)
    assert metrics == json.loads((tmp_path / 'test/metrics.json').read_text())
    assert 0 <= metrics['coco/segm_mAP'] <= 1
    assert all(path.exists() for path in outputs.values())
    assert (tmp_path / 'report/report.html').is_file()

    # Each run logs into its own work dir, however many there are in the process.
    again = apis.train(tiny_config, coco=shapes_folder, work_dir=tmp_path / 'again', seed=0)
    for folder in (work_dir, again):
        assert {'curves.png', 'curves.csv'} <= {path.name for path in folder.iterdir()}
        assert list(folder.glob('*/vis_data/scalars.json'))
    assert not any('loss' in path.read_text() for path in (tmp_path / 'test').glob('*/vis_data/*.json'))

    segmenter = apis.Segmenter(Config.fromfile(config), checkpoint, device='cpu')
    assert segmenter.classes == CLASSES
    path = shapes_folder / 'images/val/000000.png'
    image = cv2.imread(str(path))
    one, several = segmenter(path, score_thr=0), segmenter([str(path), image], score_thr=0)
    assert len(several) == 2
    assert len(one) == len(one.pred_instances) > 0
    for other in several:
        assert one.scores.tolist() == other.pred_instances.scores.tolist()
    assert (segmenter.draw(path, one, score_thr=0) != image).any()
    assert np.array_equal(segmenter.draw(image, one, score_thr=1), image)


def test_what_cannot_work_is_said_as_an_error(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'config nowhere\.py: no such file'):
        apis.train('nowhere.py')
    with pytest.raises(InputError, match='--launcher horse: choose none, pytorch, slurm, mpi'):
        apis.train(tiny_config, launcher='horse', work_dir=tmp_path)
    with pytest.raises(InputError, match=r'--show-score-thr 30: not between 0 and 1'):
        apis.test(tiny_config, 'none.pth', show_score_thr=30)
    with pytest.raises(InputError, match=r'--score-thr 30: not between 0 and 1'):
        apis.predict_folder(tmp_path, tiny_config, 'none.pth', out_dir=tmp_path / 'out', score_thr=30)
    with pytest.raises(InputError, match=r'must end in \.json or \.pkl'):
        apis.test(tiny_config, 'none.pth', out='results.txt')
    with pytest.raises(InputError, match=r'none\.pth: no such file'):
        apis.Segmenter(tiny_config, 'none.pth')
    with pytest.raises(InputError, match='--device nonsense: '):
        apis.Segmenter(tiny_config, 'none.pth', device='nonsense')
    assert not list(tmp_path.iterdir())


def test_names_are_imported_when_they_are_used(root: Path) -> None:
    code = 'import sys, mmagg.apis.hardware; print(dir(mmagg.apis), "mmengine" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout == f'{sorted(apis.__all__)} False\n'
    for name in apis.__all__:
        assert callable(getattr(apis, name))
        assert getattr(apis, name).__doc__
    with pytest.raises(AttributeError, match='has no attribute'):
        apis.nothing  # noqa: B018


def test_a_type_checker_sees_the_names() -> None:
    """A module's `__getattr__` alone would make all of them `Any`."""
    nodes = ast.walk(ast.parse(Path(apis.__file__).read_text()))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    seen = {
        alias.asname: node.module.rpartition('.')[2]
        for node in imports
        for alias in node.names
        if node.module and alias.asname == alias.name
    }
    assert seen == apis.PLACES


def test_shipped_configs_are_found_in_a_clone(root: Path) -> None:
    assert shipped_config('demo/solo_tiny_shapes.py') == root / 'configs/demo/solo_tiny_shapes.py'
    with pytest.raises(InputError, match=r'mmagg::demo/none\.py: mmagg has no such config'):
        shipped_config('demo/none.py')
