"""The published figures are those of the papers, and agree with each other."""

import pytest

from mmagg.costs.published import A2FPN, AGGMASK_TABLE, BLENDMASK_TOP_LAYER, PAPERS, SOLO_STATISTICS, TABLES, Figure
from mmagg.costs.table_rows import compare

FIGURES = [(table, figure) for table in TABLES for figure in table.figures]


def as_printed(figure: Figure) -> str:
    return f'{figure.value:,.{figure.digits}f}{figure.unit}'


@pytest.mark.parametrize('table', [A2FPN, AGGMASK_TABLE], ids=lambda table: table.paper)
def test_papers_print_them(table, shared) -> None:
    text = (shared / f'papers/{table.paper}.txt').read_text(encoding='utf-8')
    absent = {as_printed(figure) for figure in table.figures if figure.over is None} - set(
        text.replace('<b>', ' ').replace('</b>', ' ').split()
    )
    assert not absent


def test_solo_prints_its_statistics(shared) -> None:
    text = (shared / 'papers/solo.txt').read_text(encoding='utf-8')
    (apart, unequal, positives, _) = (row[2] for row in SOLO_STATISTICS)
    assert f'{apart}% of object pairs have center distance greater than 30 pixels' in text
    assert f'{unequal}% of them have size ratio greater than 1.5' in text
    assert f'on average {positives} positive samples' in text


def test_the_releases_have_them(shared) -> None:
    released = [(table, figure) for table, figure in FIGURES if table.source == 'release']
    assert len(released) == 6 + 4
    for table, figure in released:
        assert as_printed(figure) in (shared / f'specs/{table.paper}.md').read_text(encoding='utf-8'), figure


def test_differences_are_those_of_the_totals() -> None:
    totals = {(figure.count, figure.what): figure.value for _, figure in FIGURES if figure.over is None}
    differences = [figure for _, figure in FIGURES if figure.over is not None]
    assert len(differences) == 3
    for figure in differences:
        total, less = (totals[count, figure.what] for count in (figure.count, figure.over))
        assert figure.value == pytest.approx(total - less), figure


def test_the_top_layer_by_hand() -> None:
    places = 100 * 152 + 50 * 76 + 25 * 38 + 13 * 19 + 7 * 10
    dense, sparse = BLENDMASK_TOP_LAYER.figures
    for figure, number in (dense, places), (sparse, sparse.count.candidates):
        macs = number * 4 * 14**2 * 9 * 256
        assert f'{figure.value:.{figure.digits}f}' == f'{macs / 1e9:.{figure.digits}f}'
    assert f'{places:,} places' in BLENDMASK_TOP_LAYER.convention


def test_figures_can_be_counted(root) -> None:
    assert {table.paper for table in TABLES} == set(PAPERS)
    for table, figure in FIGURES:
        assert (root / 'configs' / figure.count.config).is_file(), figure
        assert (figure.count.convention is None) == (figure.count.shape is None), figure
        assert figure.what != 'macs' or figure.count.shape, figure
        assert [other.row for other in table.figures].count(figure.row) == 1


@pytest.mark.parametrize(
    'published, measured, digits, shown, verdict',
    [
        (283.28, 283.2849, 2, '283.28', 'same'),
        (283.28, 283.2851, 2, '283.285', '+0.005 (+0.0%)'),
        (55.4, 55.331, 1, '55.33', '-0.07 (-0.1%)'),
        (-37.8, -35.96, 1, '-35.96', '+1.84 (+4.9%)'),
        (34_845_922, 34_845_922, 0, '34,845,922', 'same'),
        (34_845_922, 34_847_000, 0, '34,847,000', '+1,078 (+0.0%)'),
    ],
)
def test_compared_to_the_printed_digit(published, measured, digits, shown, verdict) -> None:
    assert compare(published, measured, digits) == (shown, verdict)
