"""What docstrings mean by their marks: names in backticks are links, stars and underscores themselves.

The docstrings are plain text with names in single backticks and code in double ones. The site reads Markdown: there
`(B*Q, C)` must not become italic, and a name that the module knows leads to its page.
"""

import re
from typing import Any

import griffe
from page_links import SPAN, plain, reference

# The sections whose items begin with a name, which Griffe reads.
NAMED = ('Args:', 'Attributes:', 'Raises:')
# Arguments that are described together, with all lines of the description.
SHARED = re.compile(r'^    (\w+(?:, \w+)+): (.*(?:\n {8}.*)*)', re.MULTILINE)


class Marks(griffe.Extension):
    """Rewrites all docstrings of a package once it is read, and fills in those of the methods that override."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """Go through the package."""
        for thing in list(every(pkg)):
            inherit(thing)
            if thing.docstring:
                thing.docstring.value = marked(thing.docstring.value, thing)


def every(thing: griffe.Object):
    """A module or class and all that it defines."""
    yield thing
    for member in thing.members.values():
        if not member.is_alias:
            yield from every(member)


def inherit(thing: griffe.Object) -> None:
    """A method without a docstring does what that of the base class says."""
    if thing.docstring is None and thing.is_function and thing.parent.is_class:
        for base in thing.parent.mro():
            if thing.name in base.members and base[thing.name].docstring:
                text = f'As `{base.path}.{thing.name}`.'
                thing.docstring = griffe.Docstring(text, parent=thing)
                return


def marked(text: str, thing: griffe.Object) -> str:
    """The docstring of ``thing`` in Markdown; its blocks of code stay."""
    lines, code, section = [], False, ''
    for line in SHARED.sub(one_by_one, text).splitlines():
        depth = len(line) - len(line.lstrip())
        if line and not depth:
            # What a section has is indented, but no code.
            section, code = line if re.fullmatch(r'[A-Z]\w+:', line) else '', False
        elif not section and depth >= 4 and (code or not lines or not lines[-1].strip()):
            code = True
        item = re.match(r'    [\w.*, ]+: ', line) if section in NAMED else None
        name = item[0] if item else ''
        lines.append(line if code else name + linked(line.removeprefix(name), thing))
    return '\n'.join(lines)


def one_by_one(found: re.Match) -> str:
    """The same description for each of the arguments."""
    return '\n'.join(f'    {name}: {found[2]}' for name in found[1].split(', '))


def linked(line: str, thing: griffe.Object) -> str:
    """A line of text; the names in it that the module of ``thing`` knows are links."""
    parts = re.split(r'(`+[^`]+`+)', line)
    parts[::2] = [plain(part) for part in parts[::2]]
    parts[1::2] = [SPAN.sub(lambda span: link(span, thing), part) for part in parts[1::2]]
    return ''.join(parts)


def link(span: re.Match, thing: griffe.Object) -> str:
    """A name in backticks, as a link if it is known where it stands."""
    name = span[1]
    if not re.fullmatch(r'[A-Za-z_][\w.]*', name) or (thing.is_function and name in [x.name for x in thing.parameters]):
        return span[0]
    try:
        first, *rest = name.split('.')
        path = name if first == 'mmagg' else '.'.join([thing.resolve(first), *rest])
    except (griffe.NameResolutionError, griffe.AliasResolutionError):
        return span[0]
    return reference(final(path, thing), name) if path.startswith('mmagg.') else span[0]


def final(path: str, thing: griffe.Object) -> str:
    """Where a name is defined that modules import from each other."""
    try:
        return thing.modules_collection[path].final_target.path if thing.modules_collection[path].is_alias else path
    except (KeyError, griffe.AliasResolutionError):
        return path
