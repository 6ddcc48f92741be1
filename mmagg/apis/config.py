"""Configs: read, and changed by options, of which misspelt ones are refused.

mmengine merges ``--cfg-options`` silently: ``model.mask_hed.num_classes=3`` creates a key that nobody reads, and the
run goes on with the old value. Here a new key must be an argument of the class named by the dict's ``type``, or of the
Runner at the top level. Dicts without a type accept new keys unless they look like a misspelt old one. Options win over
what a command changes in a config by itself or by another argument, or are refused.
"""

import difflib
import inspect
import os
import re
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import chain, count
from pathlib import Path
from textwrap import shorten
from typing import Any

from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.registry import Registry, init_default_scope
from mmengine.utils import import_modules_from_strings
from mmengine.visualization import Visualizer

from mmagg.apis.checkpoint import stay_secure
from mmagg.apis.helper_variables import READ_KEYS, refuse_helper
from mmagg.apis.model_numbers import check_model_numbers
from mmagg.datasets.config_parts import check_types
from mmagg.io.errors import InputError, one_line
from mmagg.io.run_folder import checkpoints

CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')  # mmengine's
BUILDER_KEYS = {'type', '_scope_', '_delete_', 'priority', 'constructor', 'paramwise_cfg', 'convert_to_iter_based'}


def load_config(
    config: str | Path | Config,
    cfg_options: dict | None = None,
    *,
    changes: Sequence[Callable[[Config], None]] = (),
    reads: Collection[str] = READ_KEYS,
) -> Config:
    """Read a config file and merge ``cfg_options`` into it.

    Args:
        config: a file, or ``mmdet::solo/solo_r50_fpn_1x_coco.py`` for one that mmdet ships; a loaded config is copied.
        cfg_options: dotted keys and their values, as mmengine's ``DictAction`` gives them.
        changes: what the caller changes in the config, in place; the options win over it.
        reads: the top-level keys that the caller reads; options for others are refused.

    Raises:
        InputError: no such file, not a config, or an option nobody reads.
    """
    stay_secure()  # before what a config names is read
    name = name_of(config)
    if isinstance(config, Config):
        cfg = deepcopy(config)
    elif '::' in name:
        cfg = get_config(name)
    elif Path(name).is_file():
        if Path(name).suffix not in CONFIG_SUFFIXES:
            hint = '; the config comes first, then the checkpoint' * name.endswith('.pth')
            raise InputError(f'config {name}: not a config ({", ".join(CONFIG_SUFFIXES)}){hint}')
        try:
            cfg = Config.fromfile(name)
        except ImportError:  # told with what says what is missing
            raise
        except (Exception, SystemExit) as error:  # it is code, and may raise whatever it likes
            raise InputError(f'config {name}: {_line_of(error)}{one_line(error)}') from error
    else:
        raise InputError(f'config {name}: {"a folder, name a file" if Path(name).is_dir() else "no such file"}')
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
    check_model_numbers(cfg, name)
    return cfg


def _line_of(error: BaseException) -> str:
    """Where the code of a config failed; empty where that cannot be said."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == '<module>']
    return f'{frames[-1].filename}, line {frames[-1].lineno}: ' if frames else ''


def _merge(cfg: Config, options: dict) -> None:
    cfg.merge_from_dict(options)
    if any(key.startswith('default_scope') for key in options):
        init_default_scope(cfg.default_scope)
    if any(key.startswith('custom_imports') for key in options):  # mmengine imports them as it reads the file
        import_modules_from_strings(**(cfg.custom_imports or {'imports': []}))


@contextmanager
def options_kept(cfg: Config, options: Collection[str] | None) -> Iterator[None]:
    """Refuse that a block changes what an option has set.

    Args:
        cfg: the config, with the options merged into it.
        options: their dotted keys.

    Raises:
        InputError: names the option, and both values.
    """
    before = {key: deepcopy(_value_at(cfg, key)) for key in options or ()}
    yield
    for key, value in before.items():
        now = _value_at(cfg, key)
        if now != value:
            raise InputError(
                f'--cfg-options {key}={_brief(value)}: another argument, or this command, sets it to {_brief(now)}; '
                'leave out one of the two'
            )


def _value_at(part: Any, key: str) -> Any:
    """The value at a dotted key; None if there is none."""
    for name in key.split('.'):
        if isinstance(part, list | tuple):
            part = part[int(name)] if int(name) < len(part) else None
        else:
            part = part.get(name) if isinstance(part, dict | Config) else None
    return part


def name_of(config: str | Path | Config) -> str:
    """The name of a config in messages and of its results: its file."""
    return str(config.filename or 'config') if isinstance(config, Config) else str(config)


def shipped_config(name: str) -> Path:
    """The file of one of this project's configs, by its path below ``configs``, in the clone that the package lies in.

    Raises:
        InputError: there is no such file; an installed package has no configs.
    """
    path = Path(__file__).resolve().parents[2] / 'configs' / name
    if not path.is_file():
        raise InputError(f'configs/{name}: not at {path}; name another config, or call this from a clone of mmagg')
    return path


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
        names = chain([visualizer.name], (f'{visualizer.name} {number}' for number in count(2)))
        visualizer.name = next(name for name in names if not Visualizer.check_instance_created(name))


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


def check_options(cfg: Config, options: dict, reads: Collection[str] = READ_KEYS) -> None:
    """Refuse options that set a key nobody reads: a new one, a helper variable, or one of another command.

    Args:
        cfg: the config before the options.
        options: dotted keys and their values.
        reads: the top-level keys that the caller reads, beside those that matter to all.

    Raises:
        InputError: names the key, where it failed and the nearest names, or the keys to set instead.
    """
    merged = Config(cfg.to_dict())
    old = cfg.to_dict()
    for key, value in options.items():
        refuse_helper(key, old)
        _refuse_single_value(key, value, old)
    try:
        merged.merge_from_dict(options)
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f'--cfg-options: {_brief(error)}') from error
    new = merged.to_dict()
    for key in options:
        _check_key(key, old, new)
        _refuse_unread(key, {*reads, 'custom_imports', 'default_scope'})


def _refuse_unread(key: str, reads: Collection[str]) -> None:
    """Refuse an option for a part of the config that the caller does not read."""
    name, dot, below = key.partition('.')
    if name not in reads:
        of_test = name.replace('val_', 'test_')
        instead = f'; set {of_test}{dot}{below}' if of_test in {*reads} - {name} else ''
        instead = '; add --tta' if name.startswith('tta_') else instead
        raise InputError(f'--cfg-options {key}: this command does not read `{name}` of a config{instead}')


def _refuse_single_value(key: str, value: object, part: Any) -> None:
    """Refuse an option for one of several values, or for a part of a tuple: mmengine merges lists of dicts only."""
    names = key.split('.')
    for depth, name in enumerate(names):
        if isinstance(part, list | tuple) and name.isdigit() and int(name) < len(part):
            inner = part[int(name)]
            mergeable = isinstance(part, list) and isinstance(inner, dict | list)
            if not mergeable or (depth == len(names) - 1 and not isinstance(value, dict)):
                where = '.'.join(names[:depth])
                raise InputError(f'--cfg-options {key}: `{where}` can be set as a whole only; it is {_brief(part)}')
            part = inner
        else:
            part = part.get(name) if isinstance(part, dict) else None


def _check_key(key: str, old: object, new: object) -> None:
    """Follow the dotted ``key`` through the config before (``old``) and after the merge until a part of it is new."""
    parts = key.split('.')
    for depth, part in enumerate(parts):
        if isinstance(old, (list, tuple)) and part.isdigit() and int(part) < len(old):
            old, new = old[int(part)], new[int(part)]
        elif isinstance(old, dict) and part in old:
            old, new = old[part], new[part]
        else:
            where = '.'.join(parts[:depth])
            if not isinstance(old, dict):
                raise InputError(f'--cfg-options {key}: `{where}` is {_brief(repr(old))}, it has no `{part}`')
            _check_new_key(key, part, where, old, new)
            return  # all below a new key is new, too


def _check_new_key(key: str, part: str, where: str, old: dict, new: dict) -> None:
    readers = 'the Runner' if not where else str(new.get('type', ''))
    known = set(READ_KEYS) if not where else _arguments_of(new.get('type'))
    if known is not None and part in known | BUILDER_KEYS:
        return
    near = difflib.get_close_matches(part, {*old, *(known or ())}, n=3, cutoff=0.6 if known else 0.8)
    if known is None and not near:
        return
    place = f'`{where}`' if where else 'the config'
    taken = f' and {readers} takes no such argument' if known else ''
    meant = f'; did you mean {" or ".join(near)}?' if near else ''
    raise InputError(f'--cfg-options {key}: {place} has no `{part}`{taken}{meant}')


def _arguments_of(type_name: object) -> set[str] | None:
    """The arguments of the class registered as ``type_name``, and of its bases where it passes ``**kwargs`` on.

    None if there is no such class, or if it takes any argument.
    """
    classes = list(_registered(type_name)) if isinstance(type_name, str) else []
    known: set[str] = set()
    for cls in classes:
        for base in inspect.getmro(cls) if inspect.isclass(cls) else (cls,):
            function = base.__dict__.get('__init__') if inspect.isclass(base) else base
            if function is None or base is object:
                continue
            try:
                parameters = inspect.signature(function).parameters.values()
            except (TypeError, ValueError):  # written in C, without a signature
                return None
            known |= _parameters(function)
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
        else:
            return None
    return known if classes else None


def _registered(type_name: str) -> Iterator[type]:
    import mmdet.registry

    for registry in vars(mmdet.registry).values():
        if isinstance(registry, Registry) and (found := registry.get(type_name)) is not None:
            yield found


def _brief(what: object) -> str:
    return shorten(str(what), 160, placeholder=' …')


def _parameters(function: object) -> set[str]:
    return {
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name != 'self'
    }
