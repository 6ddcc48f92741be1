"""A page for each method: its README."""

import re

from page_links import ROOT, place

SOURCES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'configs').glob('*/README.md'))


def title(source: str) -> str:
    """The heading of a README."""
    return re.search(r'^# (.+)$', (ROOT / source).read_text(encoding='utf-8'), re.MULTILINE)[1]


def pages() -> dict[str, str]:
    """The list of the methods; their READMEs have places of their own."""
    text = ['# Methods', '']
    for source in SOURCES:
        _, paper, about, *_ = (ROOT / source).read_text(encoding='utf-8').split('\n\n')
        text += [f'## [{title(source)}]({place(source).removeprefix("methods/")})', '', about, '', paper, '']
    return {'methods/index.md': '\n'.join(text)}


def navigation() -> list:
    """The pages in the order of their names."""
    return ['methods/index.md', *({title(source): place(source)} for source in SOURCES)]
