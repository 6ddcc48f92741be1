"""Images that cannot be read or resized, met in a run: a line with the file's name."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.runner.loops import _InfiniteDataloaderIterator

from mmagg.cli.main import COMMANDS, run

THIN = np.zeros((2, 2000, 3), np.uint8)


@pytest.mark.parametrize(
    'name, content, workers',
    [('train', b'', 1), ('train', THIN, 0), ('test', b'', 0), ('test', b'no image', 1), ('test', THIN, 0)],
)
def test_the_image_is_named(
    tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path, capsys, name: str, content, workers: int
) -> None:
    if name == 'train' and workers and not hasattr(_InfiniteDataloaderIterator, '_ensure_iterator'):
        pytest.skip('this mmengine starts the workers before the pipeline can be made to name images')
    data = Path(shutil.copytree(shapes_folder, tmp_path / 'data'))
    for path in (data / 'images' / {'train': 'train', 'test': 'val'}[name]).iterdir():
        path.write_bytes(content) if isinstance(content, bytes) else cv2.imwrite(str(path), content)
    arguments = [tiny_config, '--coco', data, '--work-dir', tmp_path / 'run', '--skip-check']
    arguments += [trained / 'iter_2.pth'] if name == 'test' else []
    options = f'{name}_dataloader.num_workers={workers}'
    assert run(COMMANDS[name], [*map(str, arguments), '--cfg-options', options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f'error: {data / "images"}')
    assert '.png: ' in error
    assert 'Traceback' not in error
