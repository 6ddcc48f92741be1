"""Pickles and YAML that a config names, as a data set's proposals: read as data, without running code.

mmengine reads them by their suffix; a class tree of Open Images' challenge is all that mmdet lets NumPy unpickle.
"""

import io
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import yaml
from mmdet.datasets import OpenImagesChallengeDataset
from mmengine.fileio import get_local_path, register_handler
from mmengine.fileio.handlers import PickleHandler, YamlHandler

from mmagg.io.errors import InputError, one_line
from mmagg.io.safe_pickle import read_arrays

PICKLES, YAML = ['pkl', 'pickle'], ['yaml', 'yml']
LOADER = getattr(yaml, 'CFullLoader', yaml.FullLoader)  # mmdet's index of configs takes seconds without the C parser
UNPICKLED_TREE = OpenImagesChallengeDataset._get_relation_matrix  # mmdet's, which can run code


class ArrayHandler(PickleHandler):
    """Reads arrays in plain containers, and refuses what is more."""

    def load_from_fileobj(self, file: BinaryIO, **_: Any) -> Any:
        """The content of a pickle.

        Raises:
            InputError: it is damaged, or holds more.
        """
        try:
            return read_arrays(file.read())
        except Exception as error:  # a damaged file can mean anything
            raise InputError(f'a pickle cannot be read: {one_line(error)[:300]}') from error


class PlainYamlHandler(YamlHandler):
    """Reads YAML's own types, and tuples; mmengine's way calls the functions that a file names."""

    def load_from_fileobj(self, file: TextIO, **_: Any) -> Any:
        """The content of a YAML file.

        Raises:
            ValueError: it is damaged, or holds more than data.
        """
        try:
            return yaml.load(file, LOADER)
        except yaml.YAMLError as error:
            raise ValueError(one_line(error)) from error


def class_tree(dataset: OpenImagesChallengeDataset, hierarchy_file: str) -> np.ndarray:
    """mmdet's `_get_relation_matrix`, of a pickle or a file of NumPy: which classes (C) are above which, C × C.

    Raises:
        InputError: the file holds more than an array.
    """
    with get_local_path(hierarchy_file, backend_args=dataset.backend_args) as path:
        data = Path(path).read_bytes()
    try:
        of_numpy = data.startswith(np.lib.format.MAGIC_PREFIX)
        return (np.load(io.BytesIO(data), allow_pickle=False) if of_numpy else read_arrays(data))[1:, 1:]
    except Exception as error:  # a damaged file can mean anything
        raise InputError(f'{hierarchy_file}: no array ({one_line(error)[:300]})') from error


def read_data_only(*, trust: bool) -> None:
    """Let mmengine and mmdet read pickles and YAML as data in this process, or as they do, until the next call."""
    register_handler(PICKLES)(PickleHandler if trust else ArrayHandler)
    register_handler(YAML)(YamlHandler if trust else PlainYamlHandler)
    OpenImagesChallengeDataset._get_relation_matrix = UNPICKLED_TREE if trust else class_tree
