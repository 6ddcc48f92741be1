"""Downloads against a server whose connections break."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError, URLError

import pytest
from web_site import Site, serving

from mmagg.io.errors import InputError
from mmagg.weights import downloads
from mmagg.weights.downloads import check_hash, download

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(downloads, 'PAUSE', 0)
    folder = tmp_path / 'site'
    folder.mkdir()
    (folder / 'a.pth').write_bytes(CONTENT)
    with serving(folder) as site:
        yield site


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be; nothing else may be left in its folder."""
    return tmp_path / 'cache/a.pth'


def left(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


@pytest.mark.parametrize('ranges', [True, False])
def test_goes_on_where_the_connection_broke(ranges: bool, site: Site, path: Path) -> None:
    site.ranges, site.breaks_after = ranges, [1000, 500]
    download(f'{site.url}/a.pth', path, sha256=SHA256[:8])
    assert path.read_bytes() == CONTENT
    assert left(path) == ['a.pth']
    assert site.asked == (['', 'bytes=1000-', 'bytes=1500-'] if ranges else ['', '', ''])


def test_a_later_process_goes_on(site: Site, path: Path) -> None:
    site.breaks_after = [1000] + [0] * downloads.TRIES
    with pytest.raises(ConnectionError, match='the connection broke'):
        download(f'{site.url}/a.pth', path)
    assert left(path) == ['a.pth.part', 'a.pth.part.version']
    assert (path.parent / 'a.pth.part').read_bytes() == CONTENT[:1000]
    download(f'{site.url}/a.pth', path)
    assert site.asked[-1] == 'bytes=1000-'
    assert path.read_bytes() == CONTENT
    assert left(path) == ['a.pth']


def test_two_versions_are_not_mixed(site: Site, path: Path) -> None:
    site.breaks_after = [1000] + [0] * downloads.TRIES
    with pytest.raises(ConnectionError):
        download(f'{site.url}/a.pth', path)
    (site.folder / 'a.pth').write_bytes(CONTENT[::-1])
    download(f'{site.url}/a.pth', path)
    assert path.read_bytes() == CONTENT[::-1]


def test_all_of_it_was_there_already(site: Site, path: Path) -> None:
    path.parent.mkdir()
    path.with_name('a.pth.part').write_bytes(CONTENT)
    path.with_name('a.pth.part.version').write_text(site.version(CONTENT))
    download(f'{site.url}/a.pth', path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


def test_another_file_than_the_hash_says(site: Site, path: Path) -> None:
    with pytest.raises(InputError, match=f'begins with {SHA256[:8]}, not with 01234567'):
        download(f'{site.url}/a.pth', path, sha256='01234567')
    assert left(path) == []
    path.write_bytes(CONTENT)
    assert check_hash(path, SHA256[:8].upper()) == SHA256
    with pytest.raises(InputError, match='delete it to have it fetched again'):
        check_hash(path, '01234567')


def test_a_web_page_is_no_file(site: Site, path: Path) -> None:
    (site.folder / 'a.pth').write_text('\n<!DOCTYPE html>\n<html>Too many users have viewed this file</html>')
    with pytest.raises(InputError, match='is a web page, not a file'):
        download(f'{site.url}/a.pth', path)
    assert left(path) == []


def test_nobody_there(site: Site, path: Path) -> None:
    with pytest.raises(HTTPError, match='404'):
        download(f'{site.url}/b.pth', path)
    with pytest.raises(URLError, match='refused'):
        download('http://127.0.0.1:9/a.pth', path)
    assert left(path) == []


def test_two_at_a_time(site: Site, path: Path) -> None:
    threads = [Thread(target=download, args=[f'{site.url}/a.pth', path]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == CONTENT
    assert site.asked == ['']
    assert left(path) == ['a.pth']
