"""Options that change a config, of which misspelt ones are refused.

mmengine merges ``--cfg-options`` silently: ``model.mask_hed.num_classes=3`` creates a key that nobody reads, and the
run goes on with the old value. Here a new key must be an argument of the class named by the dict's ``type``, or of the
Runner at the top level. Dicts without a type accept new keys unless they look like a misspelt old one. Options win over
what a command changes in a config by itself or by another argument, or are refused.
"""

import difflib
import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from textwrap import shorten
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from mmagg.apis.helper_variables import READ_KEYS, refuse_helper
from mmagg.io.errors import InputError

BUILDER_KEYS = {
    'type',
    '_scope_',
    '_delete_',
    'priority',
    'constructor',
    'paramwise_cfg',
    'convert_to_iter_based',
    'requires_grad',
}


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
    for key, value in options.items():
        try:
            merge_options(merged, {key: value})
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f'--cfg-options {key}: {_brief(error)}') from error
    new = merged.to_dict()
    for key, value in options.items():
        for names in option_places(key.split('.'), value):
            _check_key(names, old, new)
            _refuse_rest_of_another(names, old, new)
        _refuse_unread(key, {*reads, 'custom_imports', 'default_scope'})


def merge_options(cfg: Config, options: dict) -> None:
    """Merge options into a config in place, one after the other: as mmengine does, but what is None may become a dict.

    mmengine merges them together first, where a dict drops what an option before it has set inside.

    Args:
        cfg: the config.
        options: dotted keys and their values.

    Raises:
        TypeError: a dict for what is neither a dict nor None.
        KeyError: a place behind the end of a list.
    """
    for key, value in options.items():
        nested = value
        for name in reversed(key.split('.')):
            nested = {name: nested}
        _open(cfg, nested)
        cfg.merge_from_dict({key: deepcopy(value)})  # which takes `_delete_` out of it


def _open(part: Any, option: dict) -> None:
    """Put an empty dict in place of each None below which ``option``, a dict of dicts, sets something."""
    for name, below in option.items():
        if not isinstance(below, dict):
            continue
        if isinstance(part, list) and name.isdigit() and int(name) < len(part):
            _open(part[int(name)], below)
        elif isinstance(part, dict | Config) and name in part:
            if part[name] is None:
                part[name] = {}
            _open(part[name], below)


def option_places(names: list[str], value: Any) -> Iterator[list[str]]:
    """The names on the way to each value that an option sets, below those of its key: several if it is a dict."""
    if not isinstance(value, dict) or not value:
        yield names
        return
    for name, below in value.items():
        yield from option_places([*names, name], below)


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


def _check_key(parts: list[str], old: Any, new: Any) -> None:
    """Follow a key through the config before (``old``) and after the merge until a part of it is new."""
    key = '.'.join(parts)
    for depth, part in enumerate(parts):
        old = {} if old is None else old  # below it all is new
        if _is_replaced(old, new):
            return  # by a later option than this one
        if isinstance(old, list | tuple) and part.isdigit() and int(part) < len(old):
            old, new = old[int(part)], new[int(part)]
        elif isinstance(old, dict) and part in old and part in new:
            old, new = old[part], new[part]
        else:
            where = '.'.join(parts[:depth])
            if not isinstance(old, dict):
                raise InputError(f'--cfg-options {key}: `{where}` is {_brief(repr(old))}, it has no `{part}`')
            _check_new_key(key, part, where, old, new)
            return  # all below a new key is new, too


def _is_replaced(old: Any, new: Any) -> bool:
    """True where something of another form has taken the place of a part of the config, or a shorter list."""
    if isinstance(old, list | tuple):
        return not isinstance(new, list | tuple) or len(new) < len(old)
    return not isinstance(new, dict)


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


def _refuse_rest_of_another(names: list[str], old: object, new: object) -> None:
    """Refuse a new type of a dict that keeps what only the class before took."""
    *above, name = names
    before, now = _value_at(old, '.'.join(above)), _value_at(new, '.'.join(above))
    if name != 'type' or not isinstance(before, dict) or not isinstance(now, dict) or before.get(name) == now.get(name):
        return
    known = _arguments_of(now.get('type'))
    if known is not None and (rest := sorted({*now} & {*before} - known - BUILDER_KEYS)):
        where = '.'.join(above)
        raise InputError(
            f'--cfg-options {where}: {now["type"]} takes no `{rest[0]}`, which `{where}` has of {before["type"]}; '
            f'"{where}=dict(_delete_=True, type=\'{now["type"]}\', ...)" leaves it out'
        )


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


def _parameters(function: Callable[..., Any]) -> set[str]:
    return {
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name != 'self'
    }


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
