"""Edits of annotation files end in a line or in a whole folder: never in a traceback, never in a file elsewhere."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_convert_data import apart, made

from mmagg.formats.convert_data import convert_data
from mmagg.formats.written import WRITERS
from mmagg.io.errors import InputError

WORDS = (
    *(b'NaN', b'-1', b'1e308', b'99999999999999999999', b'0', b'""', b'null', b'[]', b'{}', b'[[[]]]', b'../../x'),
    *(b'/etc/passwd', b'\x00', b'\xff\xfe', b'<', b'&lol;', b'"', b'true', b"'..\\\\..\\\\x'"),
)
EDITS = 12


@pytest.fixture(scope='module')
def ours(tmp_path_factory):
    masks = np.zeros((3, 12, 16), bool)
    masks[0, 1:6, 2:9], masks[1, 7:11, 1:9], masks[2, 2:8:2, 10:16:2] = True, True, True
    masks[1, 8, 3] = False
    folder = tmp_path_factory.mktemp('ours')
    made(folder, [apart(masks)] * 2)
    return made(folder, [apart(masks)], part='val', first=9)


def edited(content: bytes, rng: random.Random) -> bytes:
    """A file with a cut, a byte, a word, or a piece of itself."""
    at = rng.randrange(len(content) + 1)
    length = rng.choice([0, 1, 1, 3, 20])
    kind = rng.randrange(5)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if kind == 2:
        return content[:at] + content[at + length :]
    if kind == 3:  # instead of a number or a word
        ends = [place for place, byte in enumerate(content) if byte in b' ,:"[]<>=\n{}']
        if len(ends) > 1:
            place = rng.randrange(len(ends) - 1)
            return content[: ends[place] + 1] + rng.choice(WORDS) + content[ends[place + 1] :]
    return content[:at] + rng.choice(WORDS) + content[at:]


@pytest.mark.parametrize('name', WRITERS)
def test_edits_are_lines(name, ours, tmp_path):
    convert_data(sources=[ours], out=tmp_path / 'sound', to_format=name)
    files = sorted(path.relative_to(tmp_path / 'sound') for path in (tmp_path / 'sound').rglob('*') if path.is_file())
    annotations = [path for path in files if path.parts[0] != 'images' or path.suffix != '.png']
    rng, broken = random.Random(name), 0
    for number in range(EDITS):
        case = tmp_path / f'{number}'
        shutil.copytree(tmp_path / 'sound', case / 'in')
        path = case / 'in' / rng.choice(annotations)
        path.write_bytes(edited(path.read_bytes(), rng))
        outside = {one for one in tmp_path.rglob('*') if not one.is_relative_to(case)}
        for source in rng.choice([('auto',), (name,)]):
            try:
                done = convert_data(sources=[case / 'in'], out=case / 'out', from_format=source)
                broken += bool(done.skipped)
                assert (case / 'out/annotations/instances_train.json').is_file()
            except (InputError, OSError):
                broken += 1
        assert {one.name for one in case.iterdir()} <= {'in', 'out'}
        assert {one for one in tmp_path.rglob('*') if not one.is_relative_to(case)} == outside
    assert broken > EDITS // 6


def test_a_name_that_leads_out_is_not_followed(ours, tmp_path):
    convert_data(sources=[ours], out=tmp_path / 'in', to_format='cvat')
    secret = tmp_path / 'secret.png'
    shutil.copyfile(ours / 'images/train/00.png', secret)
    path = tmp_path / 'in/annotations.xml'
    for name in ('../secret.png', str(secret), 'images/../../secret.png'):
        path.write_text(path.read_text().replace('name="00.png"', f'name="{name}"'))
        done = convert_data(sources=[tmp_path / 'in'], out=tmp_path / 'out', overwrite=True)
        assert any('secret.png: no such image' in line for line in done.skipped)
        assert not list((tmp_path / 'out').rglob('secret*'))
        path.write_text(path.read_text().replace(f'name="{name}"', 'name="00.png"'))
    assert {one.name for one in Path(tmp_path).iterdir()} == {'in', 'out', 'secret.png'}
