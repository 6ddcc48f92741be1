"""Values of ``--cfg-options`` that hold dicts, as ``dict(type='X', n=3)``; mmengine's own reader has none."""

import ast
from typing import Any

WORDS = {'true': True, 'false': False}  # as mmengine reads them


def holds_dict(text: str) -> bool:
    """True if a value is a dict, or a list or a tuple with one in it."""
    text = text.strip()
    return text.startswith(('dict(', '{')) or (text.startswith(('[', '(')) and ('dict(' in text or '{' in text))


def read_value(text: str) -> Any:
    """Read a number, a text, a list, a tuple or a dict as Python writes them, or any nesting of these.

    Nothing is evaluated. A dict is ``dict(a=1)`` or ``{'a': 1}``; a word without quotes is a text.

    Raises:
        ValueError: it is something else.
    """
    try:
        return _value(ast.parse(text.strip(), mode='eval').body)
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(text) from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=str() | bool() | int() | float() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id=word):
            return WORDS.get(word.lower(), word)
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Call(func=ast.Name(id='dict'), args=[], keywords=pairs) if all(pair.arg for pair in pairs):
            return {pair.arg: _value(pair.value) for pair in pairs}
        case ast.Dict(keys=keys, values=values):
            names = [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
            if len(names) == len(keys):
                return dict(zip(names, map(_value, values), strict=True))
    raise ValueError(ast.unparse(node))
