"""``mmagg::<path below configs>`` as the name of a config: in ``_base_``, ``mmengine.hub.get_config`` and commands."""

from typing import NoReturn

from mmengine.config import config
from mmengine.config.utils import MODULE2PACKAGE


def announce() -> None:
    """Add mmagg to mmengine's table of packages that bring configs, and let it find a package's base at once.

    A base is read before the ``custom_imports`` of its config run, so this comes before a config is read.
    """
    MODULE2PACKAGE.setdefault('mmagg', 'mmagg')
    config._get_external_cfg_path = _not_in_an_index


def _not_in_an_index(package_path: str, cfg_file: str) -> NoReturn:
    """What mmengine finds for every base, after a fifth of a second, in a package's 90 metafiles.

    It takes the suffix from the name, looks for it among names with suffixes, and then takes the path as it is.

    Raises:
        ValueError: always.
    """
    raise ValueError(f'{cfg_file} is not in an index of {package_path}')
