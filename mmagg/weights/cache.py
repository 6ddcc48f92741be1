"""Where downloaded weights are kept, and those that have names, from there or from the web."""

import re
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import torch
from tqdm import tqdm

from mmagg.io.errors import InputError, one_line
from mmagg.io.files import written_whole
from mmagg.weights.catalogue import CLOSED, Weights
from mmagg.weights.downloads import check_hash, download

HASHED = re.compile(r'-[0-9a-f]{8,}\.\w+$')  # of a file's name, which its content alone has


def cache_folder() -> Path:
    """Where downloads are kept, as PyTorch and mmengine do; ``TORCH_HOME`` moves it."""
    return Path(torch.hub.get_dir(), 'checkpoints')


def fetch_named(one: Weights) -> Path:
    """The file of weights that have a name, from the cache or the web, with the hash that is known.

    Raises:
        InputError: it cannot be fetched, or is another file; says where to put it.
    """
    path = cache_folder() / one.file
    if path.is_file():
        check_hash(path, one.sha256)
        return path
    reasons = []
    for url in one.urls:
        tqdm.write(f'{one.name}: downloading {url} to {path.parent}', file=sys.stderr)
        try:
            download(url, path, sha256=one.sha256)
            return path
        except InputError as error:
            reasons.append(str(error))
        except (OSError, HTTPException, ValueError) as error:
            reasons.append(f'{url} cannot be downloaded ({one_line(error)})')
    closed = f' ({one.status})' if CLOSED.search(one.status) else ''
    raise InputError(f'{one.name}: {"; ".join(reasons)}{closed}; if you have the file, put it at {path}')


def check_address(url: str, path: Path) -> None:
    """Refuse a file of the cache that came from another address, where both call it by the same name.

    Files of unknown origin are taken: PyTorch and users put them there as well.

    Raises:
        InputError: names the other address, and what to do.
    """
    note = _address_of(path)
    came_from = note.read_text(encoding='utf-8') if note.is_file() else ''
    if came_from and came_from != _address(url):
        raise InputError(
            f'{url}: its name is that of {path}, which came from {came_from}; delete that, or fetch the file yourself '
            'and name it'
        )


def note_address(url: str, path: Path) -> None:
    """Write down where a file of the cache comes from, unless its name says what is in it."""
    if not HASHED.search(path.name):
        with written_whole(_address_of(path)) as temporary:
            temporary.write_text(_address(url), encoding='utf-8')


def _address_of(path: Path) -> Path:
    return path.with_name(f'{path.name}.url')


def _address(url: str) -> str:
    """Without the query, which may hold a key that passes, where the rest of the address names a file."""
    parts = urlparse(url)
    return (parts._replace(query='') if Path(parts.path).suffix else parts).geturl()
