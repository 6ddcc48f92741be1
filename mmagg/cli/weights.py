"""List public weights by name, or fetch them."""

import argparse
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmagg.weights.catalogue import Weights

ROOM = 19  # columns of the longest note behind a config, and the gaps
NO_HASH = 'no hash'


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/weights.py``."""
    parser = argparse.ArgumentParser(
        description='List the weights that train, test and demo take as --weights NAME: names, the configs they fit, '
        'and whether they are here; then whose they are, under what licence, and whether the addresses work.',
        epilog='example: python tools/weights.py solov2 r50',
    )
    parser.add_argument('words', nargs='*', metavar='WORD', help='only names that have all of these in them')
    parser.add_argument(
        '--fetch', action='store_true', help='fetch those of the one name WORD, and print where the file is'
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """List or fetch as the arguments say."""
    from mmagg.io.errors import InputError
    from mmagg.weights.cache import fetch_named
    from mmagg.weights.catalogue import BACKBONES, catalogue, named

    if args.fetch:
        if len(args.words) != 1:
            raise InputError('--fetch: name the weights, one name')
        (name,) = args.words
        if name.startswith(tuple(f'{known.partition("://")[0]}://' for known in BACKBONES)):
            from mmagg.apis.pretrained import fetch

            print(fetch(name))
        elif '://' in name:
            raise InputError(
                f'--fetch {name}: takes a name, without it `mmagg weights` lists them; --weights takes URLs'
            )
        else:
            print(fetch_named(named(name, flag='--fetch')))
        return
    found = [one for one in catalogue().values() if _has(one.name, args.words)]
    backbones = {name: what for name, what in BACKBONES.items() if _has(name, args.words)}
    if not found and not backbones:
        raise InputError(f'{" ".join(args.words)}: no weights have such a name')
    _print_models(found)
    if backbones:
        print('\nbackbones, ImageNet: --weights of a training alone, or init_cfg of a config; docs/licences.md')
        for name, what in backbones.items():
            print(f'{name:<41} {what}')


def _print_models(found: Iterable['Weights']) -> None:
    from mmagg.weights.cache import cache_folder
    from mmagg.weights.catalogue import CLOSED

    found = list(found)
    names = max((len(one.name) for one in found), default=0)
    configs = max((len(one.config) for one in found), default=0)
    narrow = sys.stdout.isatty() and names + configs + ROOM > shutil.get_terminal_size().columns
    sources = {}
    for one in found:
        here = (cache_folder() / one.file).is_file()
        state = 'cached' if here else 'closed' if CLOSED.search(one.status) else ''
        states = ', '.join(filter(None, (state, '' if one.sha256 else NO_HASH)))
        if narrow:
            print(f'{one.name}  {states}'.rstrip(), one.config, sep='\n    ')
        else:
            print(f'{one.name:<{names}}  {one.config:<{configs}}  {states}'.rstrip())
        sources[one.name.partition('/')[0], one.code] = one
    if found:
        print()
    if not all(one.sha256 for one in found):
        print(f'{NO_HASH}: none is known here, so that what is fetched is not checked')
    for (prefix, code), one in sources.items():
        terms = f'; {one.terms}' if one.terms else ''
        print(f'{prefix}: {code}, licence: {one.licence}{terms}; addresses: {one.status}')


def _has(name: str, words: Iterable[str]) -> bool:
    return all(word.lower() in name.lower() for word in words)
