"""Where the lines of built pages break."""

import html
import re

from line_breaks import with_breaks

COMMAND = '<div class="language-text highlight"><pre><span></span><code>{}</code></pre></div>'


def test_names_in_tables_break_at_marks() -> None:
    table = '<tr><th><code>a.b</code></th><td class="x"><code>c_d/e.py</code>, f.g</td></tr><p><code>h.i</code></p>'
    expected = table.replace('a.b', 'a.<wbr>b').replace('c_d/e', 'c_<wbr>d/<wbr>e')
    assert with_breaks(table) == expected


def test_lines_and_options_of_commands() -> None:
    block = 'mmagg test --show-dir a-b -h\n\n# &lt;c&gt;\n'
    page = with_breaks(COMMAND.format(block))
    assert page.count('<span class="line">') == 3
    assert re.findall('<span class="option">([^<]+)</span>', page) == ['--show-dir', '-h']
    assert html.unescape(re.sub('<[^>]+>', '', page)) == html.unescape(block)


def test_other_blocks_stay() -> None:
    page = COMMAND.replace('text', 'python').format('--a\n') + COMMAND.replace('text', 'text output').format('--b\n')
    assert with_breaks(page) == page
