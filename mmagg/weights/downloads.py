"""Files of the web: fetched once, whole or absent under their names, and resumed after an interruption.

What has come of a file lies beside it as NAME.part, and what the server calls this version of it (ETag or
Last-Modified) as NAME.part.version: a rest is asked for by ``Range`` and ``If-Range``, so that two versions are
never mixed (RFC 9110, sections 13.1.5 and 14.2). Processes that want the same file wait for the first.
"""

import fcntl
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from mmagg.io.errors import FULL, InputError
from mmagg.io.partial import is_open

TRIES, PAUSE = 4, 1.0  # connections that break in a row, without a byte, until that is said; seconds between them
TIMEOUT = 60  # seconds without a byte
BLOCK = 2**18  # bytes
WEB_PAGE = re.compile(rb'\s*<(!doctype html|html)', re.IGNORECASE)
AGENT = {'User-Agent': 'mmagg'}


def download(url: str, path: Path, *, sha256: str = '') -> None:
    """Fetch ``url`` to ``path``, unless that is there.

    Args:
        url: http or https.
        path: its folder is made.
        sha256: the hash of the content, or how its hexadecimal digits begin; '' where it is not known.

    Raises:
        InputError: it is another file than the hash says, which is deleted, or a web page.
        OSError, HTTPException, ValueError: it cannot be fetched; what has come stays for the next try.
    """
    part = path.with_name(f'{path.name}.part')
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(part) as file:
        if path.is_file():  # from another process, meanwhile
            _forget(part)
            return
        try:
            _fetch(url, file, part)
            _check_content(url, file, sha256)
        except BaseException as error:
            if isinstance(error, InputError) or not file.seek(0, os.SEEK_END):  # nothing to go on with
                _forget(part)
            raise
        os.replace(part, path)
        _forget(part)


def check_hash(path: Path, sha256: str) -> str:
    """The SHA-256 of a file, refused where it does not begin as ``sha256`` does.

    Raises:
        InputError: names both.
    """
    with path.open('rb') as file:
        found = _digest(file)
    if not found.startswith(sha256.lower()):
        raise InputError(
            f'{path}: its SHA-256 begins with {found[: max(len(sha256), 8)]}, not with {sha256}: it is damaged, or '
            'another file; delete it to have it fetched again'
        )
    return found


def _fetch(url: str, file: BinaryIO, part: Path) -> None:
    """Let ``file`` be the whole content of ``url``, of which it may have a beginning."""
    start, failures = file.seek(0, os.SEEK_END), 0
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            if _go_on(url, file, part):
                return
            error: Exception = ConnectionError('the connection broke')
        except HTTPError:  # the server's word, as 404
            raise
        except (OSError, HTTPException) as broken:
            if isinstance(broken, OSError) and broken.errno in FULL:
                broken.filename = str(part)
                raise
            error = broken
        here = file.seek(0, os.SEEK_END)
        failures = 0 if here > before else failures + 1
        if here == start or failures == TRIES:  # nobody there: the user need not wait
            raise error
        time.sleep(PAUSE)


def _go_on(url: str, file: BinaryIO, part: Path) -> bool:
    """Ask for what is missing and append it; True if the file is whole then."""
    done, version = file.seek(0, os.SEEK_END), _version_of(part)
    known = version.read_text() if version.is_file() else ''
    if done and not known:
        file.truncate(done := 0)
    rest = {'Range': f'bytes={done}-', 'If-Range': known} if done else {}
    try:
        answer = urlopen(Request(url, headers={**AGENT, **rest}), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416 or not done:  # there is no such rest: another version, or all of it is here
            raise
        whole = error.headers.get('Content-Range', '') == f'bytes */{done}'
        if not whole:
            file.truncate(0)
        return whole
    with answer:
        begins = re.match(rf'bytes {done}-\d+/(\d+|\*)', answer.headers.get('Content-Range', ''))
        if answer.status != 206 or begins is None:  # the whole file, as one that knows no ranges sends it
            file.truncate(done := 0)
        strong = answer.headers.get('ETag', 'W/')
        name = strong if not strong.startswith('W/') else answer.headers.get('Last-Modified', '')
        version.write_text(name)
        length = answer.headers.get('Content-Length')
        total = None if length is None else done + int(length)
        with tqdm(
            total=total, initial=done, desc=part.stem, unit='B', unit_scale=True, disable=not sys.stderr.isatty()
        ) as bar:
            while block := answer.read(BLOCK):
                file.write(block)
                bar.update(len(block))
        file.flush()
        return total is None or file.tell() == total


def _check_content(url: str, file: BinaryIO, sha256: str) -> None:
    file.seek(0)
    if WEB_PAGE.match(file.read(100)):
        raise InputError(f'{url}: is a web page, not a file')
    file.seek(0)
    found = _digest(file) if sha256 else ''
    if not found.startswith(sha256.lower()):
        raise InputError(
            f'{url}: the SHA-256 of what has come begins with {found[: len(sha256)]}, not with {sha256}: it is '
            'damaged, or another file'
        )


def _digest(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while block := file.read(BLOCK):
        found.update(block)
    return found.hexdigest()


def _version_of(part: Path) -> Path:
    return part.with_name(f'{part.name}.version')


def _forget(part: Path) -> None:
    for path in (part, _version_of(part)):
        path.unlink(missing_ok=True)


@contextmanager
def _alone(part: Path) -> Iterator[BinaryIO]:
    """The open file ``part``, when no other process fetches it; without locks of the file system, at once."""
    while True:
        with part.open('ab+') as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if is_open(part, file.fileno()):  # and not done, or given up, by the process that had it
                yield file
                return
