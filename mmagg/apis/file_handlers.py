"""Pickles and YAML that mmengine reads by a file's suffix, as a data set's proposals: as data, without running code."""

from typing import Any, BinaryIO, TextIO

import yaml
from mmengine.fileio import register_handler
from mmengine.fileio.handlers import PickleHandler, YamlHandler

from mmagg.io.errors import InputError, one_line
from mmagg.io.safe_pickle import read_arrays

PICKLES, YAML = ['pkl', 'pickle'], ['yaml', 'yml']
LOADER = getattr(yaml, 'CFullLoader', yaml.FullLoader)  # mmdet's index of configs takes seconds without the C parser


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


def read_data_only(*, trust: bool) -> None:
    """Let mmengine read pickles and YAML as data in this process, or as it does itself, until the next call."""
    register_handler(PICKLES)(PickleHandler if trust else ArrayHandler)
    register_handler(YAML)(YamlHandler if trust else PlainYamlHandler)
