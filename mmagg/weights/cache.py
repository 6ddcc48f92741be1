"""Where downloaded weights are kept, and those that have names, from there or from the web."""

import sys
from http.client import HTTPException
from pathlib import Path

import torch
from tqdm import tqdm

from mmagg.io.errors import InputError, one_line
from mmagg.weights.catalogue import CLOSED, Weights
from mmagg.weights.downloads import check_hash, download


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
        unchecked = '' if one.sha256 else '; no hash of it is known here, so it is not checked'
        tqdm.write(f'{one.name}: downloading {url} to {path.parent}{unchecked}', file=sys.stderr)
        try:
            download(url, path, sha256=one.sha256)
            return path
        except InputError as error:
            reasons.append(str(error))
        except (OSError, HTTPException, ValueError) as error:
            reasons.append(f'{url} cannot be downloaded ({one_line(error)})')
    closed = f' ({one.status})' if CLOSED.search(one.status) else ''
    raise InputError(f'{one.name}: {"; ".join(reasons)}{closed}; if you have the file, put it at {path}')
