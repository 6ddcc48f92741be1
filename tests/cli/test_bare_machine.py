"""The operators' benchmarks start where PyTorch is all that is installed."""

import subprocess
import sys

import pytest

WITHOUT_MMDETECTION = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('mmcv', 'mmengine', 'mmdet', 'cv2', 'pycocotools'):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
from mmagg.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    'tool, arguments',
    [
        ('benchmark-reassembly', ['--shape', '64', '64', '--batch', '1', '--runs', '1']),
        ('benchmark-aggregation', ['--shape', '8', '8', '--candidates', '4', '--runs', '1']),
    ],
)
def test_without_mmdetection(root, tool, arguments):
    command = [sys.executable, '-c', WITHOUT_MMDETECTION, tool, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    assert 'hardware' in done.stdout
