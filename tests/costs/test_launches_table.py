"""The table of launches and waits in docs/gpu.md is what the command counts."""

import re
from pathlib import Path

import pytest

from mmagg.costs.launches import count_launches

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(
    r'^\| `(configs/\S+)`.*?(?:launches (\d+) in a prediction )?\| (\d+), (\d+) \| (\d+), (\d+) \|$', re.MULTILINE
)
ROWS = [match.groups() for match in ROW.finditer((ROOT / 'docs/gpu.md').read_text())]


def test_the_table_is_found() -> None:
    assert len(ROWS) == 8
    assert ROWS[-1][1]


@pytest.mark.slow
@pytest.mark.parametrize('row', ROWS, ids=lambda row: Path(row[0]).stem)
def test_a_row_is_what_is_counted(row: tuple) -> None:
    config, neck, *stated = row
    counted = [
        count_launches(str(ROOT / config), **options)
        for options in (dict(shape=(800, 1344)), dict(train=True, shape=(256, 384)))
    ]
    assert [x for one in counted for x in (one['launches'], one['waits'])] == list(map(int, stated))
    if neck is not None:
        assert counted[0]['parts']['neck'] == int(neck)
