"""Footnotes with marks, collected while a table's cells are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.reporting.tables.table import Footnote


@dataclass
class Marks:
    """Footnotes in the order in which their marks first appear."""

    footnotes: list[Footnote] = field(default_factory=list)
    letters: dict[str, str] = field(default_factory=dict)

    def letter(self, text: str) -> str:
        """The mark of the footnote `text`: a, b, c, ..."""
        if text not in self.letters:
            self.letters[text] = self.sign(_letter(len(self.letters)), text)
        return self.letters[text]

    def sign(self, mark: str, text: str) -> str:
        """`mark`, explained once for each text."""
        if Footnote(text, mark) not in self.footnotes:
            self.footnotes.append(Footnote(text, mark))
        return mark


def _letter(index: int) -> str:
    return (_letter(index // 26 - 1) if index >= 26 else "") + "abcdefghijklmnopqrstuvwxyz"[index % 26]
