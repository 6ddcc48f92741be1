"""Published and measured figures as rows of a table in Markdown."""

from collections.abc import Sequence


def markdown(rows: Sequence[tuple], source: str) -> str:
    """Rows of name, config, published and measured number, printed digits and unit as a table in Markdown."""
    lines = [f'| row | config | {source} | measured | |', '|---|---|---:|---:|---|']
    for name, config, published, measured, digits, unit in rows:
        shown, verdict = compare(published, measured, digits)
        printed = '' if published is None else f'{published:,.{digits}f} {unit}'.strip()
        cells = (name, f'`{config}`', printed, f'{shown} {unit}'.strip(), verdict)
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def compare(published: float | None, measured: float, digits: int) -> tuple[str, str]:
    """The measured number as text, and 'same' or the difference.

    Args:
        published: as printed; None where nothing is.
        measured: not rounded.
        digits: printed after the point. A number that differs is shown with one more, unless it is whole.
    """
    same = f'{measured:,.{digits}f}'
    if published is None:
        return same, ''
    if same == f'{published:,.{digits}f}':
        return same, 'same'
    finer = digits + 1 if digits else 0
    difference = measured - published
    return f'{measured:,.{finer}f}', f'{difference:+,.{finer}f} ({difference / abs(published):+.1%})'
