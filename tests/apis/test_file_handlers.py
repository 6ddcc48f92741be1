"""Files that a config names, other than checkpoints, are read as data."""

import pickle
from contextlib import suppress
from pathlib import Path

import mmengine
import numpy as np
import pytest
from mmdet.datasets import OpenImagesChallengeDataset

from mmagg.apis.checkpoint import secure_loading
from mmagg.io.errors import InputError


@pytest.mark.parametrize('suffix, text', [('pkl', None), ('yaml', "!!python/object/apply:builtins.open ['{}', 'w']")])
def test_files_of_a_config_are_data(suffix: str, text: str | None, tmp_path: Path) -> None:
    """mmengine reads a data set's proposals, for one, by their suffix."""
    secure_loading()
    path, marker = tmp_path / f'proposals.{suffix}', tmp_path / 'marker'
    arrays = {'scores': np.ones(2)} if suffix == 'pkl' else {'scores': (1, 2)}
    mmengine.dump(arrays, path)
    assert [*mmengine.load(path)['scores']] == [*arrays['scores']]

    class Code:
        def __reduce__(self):
            return open, (str(marker), 'w')

    path.write_bytes(pickle.dumps(Code()) if text is None else text.format(marker).encode())
    with pytest.raises(ValueError, match=r'refused|constructor'):
        mmengine.load(path)
    assert not marker.exists()
    secure_loading(trust=True)
    mmengine.load(path).close()
    assert marker.exists()
    secure_loading()


@pytest.mark.parametrize('data', ['array', 'array pickled', 'objects', 'code'])
def test_a_class_tree_is_data(data: str, tmp_path: Path) -> None:
    """mmdet lets NumPy unpickle that of Open Images' challenge."""

    class Code:
        def __reduce__(self):
            return open, (str(marker), 'w')

    def read() -> np.ndarray:
        dataset = OpenImagesChallengeDataset.__new__(OpenImagesChallengeDataset)
        dataset.backend_args = None
        return dataset._get_relation_matrix(str(path))

    marker, path, tree = tmp_path / 'marker', tmp_path / 'class_label_tree.np', np.eye(3)
    with path.open('wb') as file:
        if data in ('array', 'objects'):
            np.save(file, tree if data == 'array' else np.array([[Code()]], dtype=object))
        else:
            pickle.dump(Code() if data == 'code' else tree, file)
    secure_loading()
    if data.startswith('array'):
        assert np.array_equal(read(), np.eye(2))
        return
    with pytest.raises(InputError, match=r'class_label_tree\.np: no array'):
        read()
    assert not marker.exists()
    secure_loading(trust=True)
    with suppress(TypeError):  # an open file is no array
        read()
    assert marker.exists()
    secure_loading()
