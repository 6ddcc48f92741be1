"""Configs: read, and changed by options, of which misspelt ones are refused.

mmengine merges ``--cfg-options`` silently: ``model.mask_hed.num_classes=3`` creates a key that nobody reads, and the
run goes on with the old value. Here a new key must be an argument of the class named by the dict's ``type``, or of the
Runner at the top level. Dicts without a type accept new keys unless they look like a misspelt old one.
"""

import difflib
import inspect
from collections.abc import Iterator
from copy import deepcopy
from itertools import chain, count
from pathlib import Path
from textwrap import shorten

from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import Registry, init_default_scope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmagg.io.errors import InputError

# Read by mmengine or mmdet, but no argument of any class.
TOP_LEVEL_KEYS = {
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
    'compile',
    'custom_imports',
    'tta_model',
    'tta_pipeline',
}
BUILDER_KEYS = {'type', '_scope_', '_delete_', 'priority', 'constructor', 'paramwise_cfg', 'convert_to_iter_based'}


def load_config(config: str | Path | Config, cfg_options: dict | None = None) -> Config:
    """Read a config file and merge ``cfg_options`` into it.

    Args:
        config: a file, or ``mmdet::solo/solo_r50_fpn_1x_coco.py`` for one that mmdet ships; a loaded config is copied.
        cfg_options: dotted keys and their values, as mmengine's ``DictAction`` gives them.

    Raises:
        InputError: no such file, not a config, or an option nobody reads.
    """
    name = name_of(config)
    if isinstance(config, Config):
        cfg = deepcopy(config)
    elif '::' in name:
        cfg = get_config(name)
    elif Path(name).is_file():
        try:
            cfg = Config.fromfile(name)
        except RuntimeError as error:  # mmengine's ConfigParsingError and yapf's failures
            raise InputError(f'{name}: {error}') from error
    else:
        raise InputError(f'config {name}: no such file')
    if 'model' not in cfg:
        raise InputError(f'config {name}: no `model` in it; is this a base file or not a config?')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    if cfg_options:
        check_options(cfg, cfg_options)
        cfg.merge_from_dict(cfg_options)
    return cfg


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


def name_visualizer(cfg: Config) -> None:
    """Give a run's visualizer a name of its own, in place.

    mmengine keeps visualizers by name in the process: a second run would log into the first one's folder.
    """
    visualizer = cfg.get('visualizer') or {}
    if 'name' in visualizer:
        names = chain([visualizer.name], (f'{visualizer.name} {number}' for number in count(2)))
        visualizer.name = next(name for name in names if not Visualizer.check_instance_created(name))


def set_work_dir(cfg: Config, config: str | Path, work_dir: str | Path | None) -> Path:
    """Set ``cfg.work_dir``: the caller's, else the config's, else ``work_dirs/<config name>``."""
    cfg.work_dir = str(work_dir or cfg.get('work_dir') or Path('work_dirs') / Path(config).stem)
    return Path(cfg.work_dir)


def check_options(cfg: Config, options: dict) -> None:
    """Refuse options that create a key nobody reads.

    Raises:
        InputError: names the key, where it failed and the nearest names.
    """
    merged = Config(cfg.to_dict())
    try:
        merged.merge_from_dict(options)
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f'--cfg-options: {_brief(error)}') from error
    old, new = cfg.to_dict(), merged.to_dict()
    for key in options:
        _check_key(key, old, new)


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
    known = _parameters(Runner.__init__) | TOP_LEVEL_KEYS if not where else _arguments_of(new.get('type'))
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
