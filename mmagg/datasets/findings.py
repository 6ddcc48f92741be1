"""What the check of a data set says: one line for each kind of defect, with its number and examples."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from mmagg.datasets.coco_defects import Severity

_EXAMPLES = 3  # named per finding
_ORDER = ('fatal', 'warning', 'note')


@dataclass(frozen=True)
class Finding:
    """One kind of defect in an annotation file.

    Attributes:
        severity: 'fatal' must be fixed first, 'warning' is good to know, 'note' says what was not looked at.
        message: one line: the kind of defect, how many there are, and examples.
        everything: nothing can be done with the data as long as they have it.
    """

    severity: Severity
    message: str
    everything: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f'{self.severity}: {self.message}'


@dataclass
class Findings:
    """Collects defects by kind, so that each kind becomes one line."""

    kinds: dict[tuple[Severity, str], list[str]] = field(default_factory=dict)
    said: list[Finding] = field(default_factory=list)
    wholes: dict[str, float] = field(default_factory=dict)

    def add(self, severity: Severity, kind: str, examples: Iterable[object], *, of: float = math.inf) -> None:
        """Add entries that have a defect; with `of`, their number from which on nothing could be done."""
        if examples := [str(example) for example in examples]:
            self.kinds.setdefault((severity, kind), []).extend(examples)
            self.wholes[kind] = of

    def say(self, severity: Severity, message: str, *, everything: bool = False) -> None:
        """Add what is said of the file as a whole."""
        self.said.append(Finding(severity, message, everything))

    @property
    def fatal(self) -> bool:
        """Whether something fatal was found."""
        return any(severity == 'fatal' for severity, _ in self.kinds) or any(f.severity == 'fatal' for f in self.said)

    def summary(self) -> list[Finding]:
        """All findings, fatal ones first, then those of the file as a whole. Names are made printable."""
        findings = list(self.said)
        for (severity, kind), examples in self.kinds.items():
            more = ', …' if len(examples) > _EXAMPLES else ''
            named = ', '.join(examples[:_EXAMPLES])
            everything = len(examples) >= self.wholes[kind]
            findings.append(Finding(severity, printable(f'{kind}: {len(examples)} ({named}{more})'), everything))
        return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def report(findings: list[Finding]) -> str:
    """The findings as text, one line each."""
    return '\n'.join(map(str, findings)) or 'no defects found'


def printable(text: str) -> str:
    """Names of files that are not UTF-8 as `b\\udcff.png`, line breaks as `\\n`."""
    return text.replace('\r', '\\r').replace('\n', '\\n').encode('utf-8', 'backslashreplace').decode()
