"""A page for each command: what ``mmagg COMMAND --help`` says, read from its parser."""

import argparse
import re
from functools import partial
from textwrap import dedent
from types import ModuleType

from page_links import ROOT, plain

from mmagg.cli.main import COMMANDS, GROUPS, SCRIPTS, as_commands, name_of, summary

TITLES = {'positional arguments': 'Arguments', 'options': 'Options'}
FORMATTER = partial(argparse.HelpFormatter, width=80)
INTRODUCTION = """# Commands

`mmagg COMMAND`, or in a clone `python -m mmagg COMMAND`; `mmagg COMMAND --help` says what these pages do. Every command
ends with 0; with 1 after an error of its own, or where inputs were skipped; with 2 and one line where its input
cannot be used, of which `--traceback` shows where it came from; with 3 where a loss is not finite; with 130 after
Ctrl-C, 143 after SIGTERM, 141 where nobody reads what it prints.
"""


def uri(command: ModuleType) -> str:
    """The page of a command."""
    return f'commands/{name_of(command)}.md'


def pages() -> dict[str, str]:
    """The list of the commands, and the page of each."""
    text = [INTRODUCTION]
    for group, commands in GROUPS.items():
        text += [f'\n## {group}\n', '<div class="named" markdown>\n', '| command | what it does |', '|---|---|']
        text += [f'| [`{name_of(x)}`]({name_of(x)}.md) | {plain(summary(x))} |' for x in commands] + ['\n</div>']
    return {'commands/index.md': '\n'.join(text), **{uri(command): page(command) for command in COMMANDS.values()}}


def navigation() -> list:
    """The commands by group, as in ``mmagg --help``."""
    groups = [{title: [{name_of(x): uri(x)} for x in commands]} for title, commands in GROUPS.items()]
    return ['commands/index.md', *groups]


def page(command: ModuleType) -> str:
    """The help of a command: usage, description, its arguments by group, example."""
    parser = command.parser()
    parser.prog, parser.formatter_class = f'mmagg {name_of(command)}', FORMATTER
    about, _, example = as_commands(parser.epilog or '').partition('example: ')
    text = [f'---\ntitle: {parser.prog}\n---\n# {parser.prog}\n', f'{plain(parser.description)}\n']
    text += [f'```text\n{dedent(parser.format_usage().replace("usage:", "      ", 1))}```\n']
    for group in parser._action_groups:
        if actions := [action for action in group._group_actions if action.help != argparse.SUPPRESS]:
            title = TITLES.get(group.title, group.title)
            text += [f'## {title}\n', f'{plain(group.description or "")}\n', '<div class="named" markdown>\n']
            text += ['| argument | meaning |', '|---|---|', *(row(parser, action) for action in actions), '\n</div>\n']
    if about.strip():
        text += [f'{plain(about.strip())}\n']
    if example:
        text += ['## Example\n', '```', *(part.strip() for part in example.split('&&')), '```\n']
    text += [f'In a clone: `python {door(command)}`.']
    return '\n'.join(text)


def row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """What is typed for an argument, and its help."""
    formatter = parser._get_formatter()
    typed = formatter._format_action_invocation(action).replace('|', '\\|')
    meaning = plain(' '.join(formatter._expand_help(action).split())) if action.help else ''
    return f'| `{typed}` | {meaning} |'


def door(command: ModuleType) -> str:
    """The script of a command under ``tools``."""
    names = [name_of(command), *(script for script, name in SCRIPTS.items() if name == name_of(command))]
    stems = [re.sub('-', '_', name) for name in names]
    (path,) = [path for path in (ROOT / 'tools').rglob('*.py') if path.stem in stems]
    return str(path.relative_to(ROOT))
