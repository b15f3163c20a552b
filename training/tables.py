"""Results as files: Markdown to read, CSV to compute with, JSON with everything; each whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wpunet import outputs
from wpunet.errors import OutputError


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a Markdown table; underscores of column names become spaces."""
    head = [name.replace("_", " ") for name in head]
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def write_text(text: str, path: Path) -> None:
    """Write a file through a temporary one, so that nobody ever reads half of it; raises OutputError."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, "utf-8", newline="")  # Windows would end lines twice that end as CSV's do
        outputs.take_place(partial, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error}); make room or choose another folder.") from error
    finally:
        partial.unlink(missing_ok=True)


def write_json(facts: object, path: Path) -> None:
    """Write what JSON can hold; raises OutputError."""
    write_text(json.dumps(facts, indent=1) + "\n", path)


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows with a column for each plain value that any of them has; raises OutputError."""
    plain = [key for row in rows for key, value in row.items() if not isinstance(value, dict | list)]
    columns = list(dict.fromkeys(plain))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(text.getvalue(), path)
