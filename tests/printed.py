"""What a page prints to be typed: commands, Python and configs. What it prints otherwise is text."""

import ast
import re
import shlex
from dataclasses import dataclass, field

COMMAND = re.compile(r'(?:[A-Z_]+=\S+ )*(?:python|make|mmagg|pip|source|tensorboard|tools/\w+\.sh) +\S')
# Fences of ``text``, and those with a title, which are files: test_docs_configs and test_docs_extending read them.
OTHER = re.compile(r'^```(text|python title=[^\n]*)\n.*?^```$', re.DOTALL | re.MULTILINE)
OPTIONAL = re.compile(r' \[(--[^]]+)\]')


@dataclass
class Printed:
    """The commands of a page, one a string; its blocks of Python, of configs and of text."""

    commands: list[str] = field(default_factory=list)
    python: list[str] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def printed(page: str) -> Printed:
    """Sort what a page of Markdown prints in blocks, and the commands in its sentences."""
    found = Printed()
    blocks, prose = _blocks(page)
    for block in blocks:
        commands, rest = _commands(block)
        found.commands += commands
        if rest:
            (found.configs if _is_config(rest) else found.python if _is_python(rest) else found.texts).append(rest)
    spans = re.findall(r'`([^`]+)`', ' '.join(prose))
    found.commands += [span for span in spans if COMMAND.match(span)]
    return found


def forms(command: str) -> list[str]:
    """A command without what stands in brackets, ``[--vs CONFIG2]``, and, if there is any, with all of it."""
    return list(dict.fromkeys([OPTIONAL.sub('', command), OPTIONAL.sub(r' \1', command)]))


def words(command: str) -> list[str]:
    """The words of a command as a shell reads them, without what a comment says."""
    return shlex.split(command, comments=True)


def _blocks(page: str) -> tuple[list[str], list[str]]:
    """Blocks, indented by four or between fences, and the lines of everything else; those of `OTHER` are neither."""
    blocks, prose, fenced = [[]], [], False
    for line in OTHER.sub('', page).splitlines():
        if line.startswith('```'):
            fenced = not fenced
            blocks.append([])
        elif fenced or line.startswith('    '):
            blocks[-1].append(line if fenced else line[4:])
        elif not line and blocks[-1]:
            blocks[-1].append('')  # a block may go on after an empty line
        else:
            prose.append(line)
            if blocks[-1]:
                blocks.append([])
    return [text for block in blocks if (text := '\n'.join(block).strip())], prose


def _commands(block: str) -> tuple[list[str], str]:
    """The commands of a block, their lines joined, and what else it holds, without comments."""
    commands, rest = [], []
    for line in re.sub(r' *\\\n *', ' ', block).splitlines():
        if COMMAND.match(line):
            commands.append(line)
        elif not line.startswith('#'):
            rest.append(line)
    return commands, '\n'.join(rest).strip()


def _is_config(text: str) -> bool:
    return bool(re.match(r'(_base_|custom_imports|custom_hooks|model) = ', text))


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
