"""Where the lines of a built page break: names in tables at their marks, commands between their words."""

import re

CELL = re.compile(r'<(t[dh])\b.*?</\1>', re.DOTALL)
NAME = re.compile(r'(?<=<code>)[^<]+')
# What has no language: commands, and small configs.
BLOCK = re.compile(r'(?<=<div class="language-text highlight"><pre><span></span><code>)[^<]+')


def with_breaks(html: str) -> str:
    """The page with the places where it may break."""
    html = CELL.sub(
        lambda cell: NAME.sub(lambda name: re.sub(r'([./_])(?=\w)(?!py)', r'\1<wbr>', name[0]), cell[0]), html
    )
    return BLOCK.sub(lambda block: re.sub(r'^.*\n?', line, block[0], flags=re.MULTILINE), html)


def line(found: re.Match) -> str:
    """A line of a block, which the style indents where it goes on; options such as ``--coco`` stay whole."""
    words = re.sub(r'(?<![\w-])--?\w[\w-]*', r'<span class="option">\g<0></span>', found[0])
    return f'<span class="line">{words}</span>' if words else ''
