"""Mutated inputs through the commands: seeded, each case in a process of its own. `tools/fuzz.py` runs it.

A case is a command and edits of its inputs. `material` makes the sound inputs, the files named `*_edits` spoil them,
`cases` draws and prepares cases, `isolation` runs them, `verdict` says what is a fault.
"""
