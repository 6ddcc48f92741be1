"""Configs: read, changed by options, and named."""

import os
import re
import traceback
import warnings
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path

from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from mmengine.visualization import Visualizer

from mmagg import config as file_of_shipped
from mmagg.apis.checkpoint import stay_secure
from mmagg.apis.config_options import check_options, merge_options
from mmagg.apis.config_values import check_model_numbers, check_packages, check_types
from mmagg.apis.helper_variables import READ_KEYS
from mmagg.engine.config_names import announce
from mmagg.io.errors import FULL, InputError, one_line
from mmagg.io.run_folder import checkpoints

announce()  # whoever reads configs through this room may name them `mmagg::…`
CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')  # mmengine's


def load_config(
    config: str | Path | Config,
    cfg_options: dict | None = None,
    *,
    changes: Sequence[Callable[[Config], None]] = (),
    reads: Collection[str] = READ_KEYS,
) -> Config:
    """Read a config file and merge ``cfg_options`` into it.

    Args:
        config: a file, or ``mmagg::solo/solo_r50_fpn_1x_coco.py`` for one that mmagg brings, ``mmdet::…`` for one of
            mmdet's; a loaded config is copied.
        cfg_options: dotted keys and their values, as mmengine's ``DictAction`` gives them.
        changes: what the caller changes in the config, in place; the options win over it.
        reads: the top-level keys that the caller reads; options for others are refused.

    Raises:
        InputError: no such file, not a config, an option nobody reads, or a package that the model needs is missing.
    """
    stay_secure()  # before what a config names is read
    name = name_of(config)
    cfg = deepcopy(config) if isinstance(config, Config) else _read(name)
    if not isinstance(cfg.get('model'), dict):
        raise InputError(f'config {name}: no `model` in it; is this a base file or not a config?')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    if cfg_options:
        check_options(cfg, cfg_options, reads)
        _merge(cfg, cfg_options)
    check_types({key: part for key, part in cfg.items() if key in READ_KEYS}, name)  # helper variables may be anything
    for change in changes:
        change(cfg)
    if cfg_options and changes:
        _merge(cfg, cfg_options)  # once more: the changes saw the options, and are overruled by them
    check_packages(cfg, name)
    check_model_numbers(cfg, name)
    return cfg


def _read(name: str) -> Config:
    """A config file's content, with that of its bases.

    Raises:
        InputError: no such file, or not a config.
    """
    stay_secure()
    package, is_package, _ = name.partition('::')
    if is_package:
        if not package.isidentifier() or find_spec(package) is None:  # mmengine would call pip to install it
            raise InputError(f'config {name}: no package {package!r} is installed')
    elif not Path(name).is_file():
        raise InputError(f'config {name}: {"a folder, name a file" if Path(name).is_dir() else "no such file"}')
    elif Path(name).suffix not in CONFIG_SUFFIXES:
        hint = '; the config comes first, then the checkpoint' * name.endswith('.pth')
        raise InputError(f'config {name}: not a config ({", ".join(CONFIG_SUFFIXES)}){hint}')
    try:
        with warnings.catch_warnings():  # `check_packages` says it of a model that needs it
            warnings.filterwarnings('ignore', 'mmpretrain.models failed to import', UserWarning)
            return get_config(name) if is_package else Config.fromfile(name)
    except ImportError:  # told with what says what is missing
        raise
    except (Exception, SystemExit) as error:  # it is code, and may raise whatever it likes
        raise InputError(f'config {name}: {_said_by(error)}') from error


def _said_by(error: BaseException) -> str:
    """What to say of an error of a config, or of the temporary folder, in which mmengine copies it to read it."""
    place = _line_of(error)
    cause = error.__context__ if isinstance(error, UnboundLocalError) else error  # mmengine's own, without a folder
    if not place and isinstance(cause, OSError) and (cause is not error or cause.errno in FULL):
        return f'cannot be copied to the temporary folder: {one_line(cause)}; TMPDIR=… names another one'
    return place + one_line(error)


def _line_of(error: BaseException) -> str:
    """Where the code of a config failed; empty where that cannot be said."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == '<module>']
    return f'{frames[-1].filename}, line {frames[-1].lineno}: ' if frames else ''


def _merge(cfg: Config, options: dict) -> None:
    merge_options(cfg, options)
    if any(key.startswith('default_scope') for key in options):
        init_default_scope(cfg.default_scope)
    if any(key.startswith('custom_imports') for key in options):  # mmengine imports them as it reads the file
        import_modules_from_strings(**(cfg.custom_imports or {'imports': []}))


def name_of(config: str | Path | Config) -> str:
    """The name of a config in messages and of its results: its file."""
    return str(config.filename or 'config') if isinstance(config, Config) else str(config)


def base_files(config: str | Path | Config) -> list[Path]:
    """The files that the config's own, which is read unless it is loaded, is based on by ``_base_``, directly or not.

    mmengine does not list them, but writes the name of each above its text.

    Raises:
        InputError: as of `load_config`.
    """
    cfg = config if isinstance(config, Config) else _read(str(config))
    named = (Path(line) for line in (cfg.text or '').splitlines() if line.endswith(CONFIG_SUFFIXES))
    return [path for path in named if path.is_file() and not (cfg.filename and path.samefile(cfg.filename))]


def config_file(config: str | Path) -> Path:
    """The file of a config that may be called ``mmagg::<path>`` or ``mmdet::<path>``.

    Raises:
        InputError: there is no config of this name; a file is not looked at.
    """
    name = str(config)
    return Path(_read(name).filename).resolve() if '::' in name else Path(config)


def shipped_config(name: str) -> Path:
    """The file of one of this project's configs, by its path below ``configs``.

    Raises:
        InputError: there is no such file.
    """
    try:
        return Path(file_of_shipped(name))
    except FileNotFoundError as error:
        raise InputError(str(error)) from error


def name_run(cfg: Config) -> None:
    """Give a run and its visualizer names that no other of this process has, in place.

    mmengine keeps visualizers, logs and message hubs by name: a second run would write into the first one's. A run's
    name is that of the config's file and the second in which it begins.
    """
    name = cfg.get('experiment_name') or Path(name_of(cfg)).stem
    taken = {re.sub(r'_\d{8}_\d{6}$', '', run) for run in MMLogger._instance_dict}  # there is no public list
    if name in taken:
        cfg.experiment_name = next(new for number in count(2) if (new := f'{name} {number}') not in taken)
    visualizer = cfg.get('visualizer') or {}
    if 'name' in visualizer:
        names = chain([visualizer['name']], (f'{visualizer["name"]} {number}' for number in count(2)))
        visualizer['name'] = next(name for name in names if not Visualizer.check_instance_created(name))


def set_work_dir(cfg: Config, config: str | Path, work_dir: str | Path | None) -> Path:
    """Set ``cfg.work_dir``: the caller's, else the config's, else ``work_dirs/<config name>``.

    A run's folder may have been moved or copied since the config in it was saved: then it is that folder.
    """
    named = cfg.get('work_dir')
    cfg.work_dir = str(work_dir or _moved_to(cfg) or named or Path('work_dirs') / Path(config).stem)
    return Path(cfg.work_dir)


def _moved_to(cfg: Config) -> Path | None:
    """The folder of the config's file if a training has saved both a config, with its work dir, and checkpoints there.

    An option for the work dir is not in the file's text.
    """
    if not cfg.filename or f'\nwork_dir = {cfg.get("work_dir")!r}\n' not in f'\n{cfg.text}':
        return None
    folder = Path(cfg.filename).parent
    same = os.path.realpath(folder) == os.path.realpath(cfg.work_dir)
    return folder if not same and checkpoints(folder) else None
