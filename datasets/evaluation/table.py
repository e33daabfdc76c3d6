"""A table of figures and its forms: Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["markdown", "latex", "csv", "json"]


@dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        heading: as the paper prints it.
        better: whether more or less is better; None for text.
        group: what several columns have above them, such as a data set; or "".
    """

    heading: str
    better: Literal["more", "less"] | None = None
    group: str = ""

    @property
    def name(self) -> str:
        """Heading with its group."""
        return f"{self.group} {self.heading}" if self.group else self.heading


@dataclass(frozen=True)
class Table:
    """Rows of text and figures.

    Attributes:
        title: what it is.
        columns: their headings.
        rows: one cell for each column: text, as printed; "" where there is none.
        ours: how many of the last rows are measured here; the others are published.
        notes: what a reader has to know.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    ours: int
    notes: Sequence[str] = ()


def markdown(table: Table) -> str:
    """A pipe table under its title."""
    arrows = {"more": " ↑", "less": " ↓", None: ""}
    heads = [_piped(f"{column.name}{arrows[column.better]}") for column in table.columns]
    rule = ["---" if column.better is None else "---:" for column in table.columns]
    rows = [[_piped(cell) or "-" for cell in row] for row in table.rows]
    lines = ["| " + " | ".join(row) + " |" for row in (heads, rule, *rows)]
    notes = [f"\n{note}" for note in table.notes]
    return "\n".join([f"**{table.title}**\n", *lines, *notes]) + "\n"


def latex(table: Table) -> str:
    """A `table` with the rules of booktabs; published rows above ours."""
    arrows = {"more": r" $\uparrow$", "less": r" $\downarrow$", None: ""}
    heads = [_escaped(column.heading) + arrows[column.better] for column in table.columns]
    kinds = "".join("l" if column.better is None else "r" for column in table.columns)
    rows = [" & ".join(_escaped(cell) or "-" for cell in row) + r" \\" for row in table.rows]
    published = len(rows) - table.ours
    middle = [r"\midrule"] if 0 < published < len(rows) else []
    lines = [
        *(f"% {note}" for note in table.notes),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(table.title)}}}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        *_groups(table),
        " & ".join(heads) + r" \\",
        r"\midrule",
        *rows[:published],
        *middle,
        *rows[published:],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def comma_separated(table: Table) -> str:
    """CSV with one line of headings."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows(table.rows)
    return text.getvalue()


def json_text(table: Table) -> str:
    """JSON: title, notes, and a list of rows by heading; figures are numbers."""
    return _as_json(_document(table))


def tables_text(tables: Sequence[Table], form: Format) -> str:
    """Several tables as one text: below each other, in JSON as a list where there are several.

    Args:
        tables: at least one.
        form: how they are written. CSV holds one table, several are no CSV that can be read back.

    Raises:
        ValueError: several tables as CSV.
    """
    if form == "json" and len(tables) > 1:
        return _as_json([_document(table) for table in tables])
    if form == "csv" and len(tables) > 1:
        raise ValueError(f"CSV holds one table, not {len(tables)}")
    write, _ = FORMATS[form]
    return "\n".join(map(write, tables))


def _as_json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _document(table: Table) -> dict[str, Any]:
    rows = [
        {
            **{c.name: _value(c, cell) for c, cell in zip(table.columns, row, strict=True)},
            "published": number < len(table.rows) - table.ours,
        }
        for number, row in enumerate(table.rows)
    ]
    return {"title": table.title, "notes": list(table.notes), "rows": rows}


FORMATS: dict[Format, tuple[Callable[[Table], str], str]] = {
    "markdown": (markdown, ".md"),
    "latex": (latex, ".tex"),
    "csv": (comma_separated, ".csv"),
    "json": (json_text, ".json"),
}
"""How a table is written, and the end of its file's name."""


def _groups(table: Table) -> list[str]:
    """The line of LaTeX above the headings that names groups of columns."""
    groups: list[tuple[str, int]] = []
    for column in table.columns:
        if groups and groups[-1][0] == column.group:
            groups[-1] = (column.group, groups[-1][1] + 1)
        else:
            groups.append((column.group, 1))
    if all(not group for group, _ in groups):
        return []
    cells = (rf"\multicolumn{{{n}}}{{c}}{{{_escaped(group)}}}" for group, n in groups)
    return [" & ".join(cells) + r" \\"]


def _value(column: Column, cell: str) -> float | str | None:
    if column.better is None:
        return cell
    return float(cell) if cell else None


def _piped(text: str) -> str:
    return text.replace("|", r"\|")


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "²": r"$^2$",
}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
