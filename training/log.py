"""What a run tells while it goes: ``log.csv``, ``drawn.csv``, TensorBoard and ``curves.png``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from contextlib import suppress
from pathlib import Path

from training.pictures import plot_log
from training.tables import write_text

COLUMNS = ("step", "loss", "learning_rate", "kidney_or_tumor", "tumor", "seconds")
DRAWN = ("step", "group", "source", "samples")


class Log:
    """The files of a run; rows beyond the resumed step are taken out.

    ``drawn.csv`` tells how many samples of each source were drawn since the step told before.
    seconds: that it had taken when it was stopped, as far as the rows tell
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path, self.drawn, self.folder = folder / "log.csv", folder / "drawn.csv", folder
        rows = _begin(self.path, COLUMNS, step)
        self.seconds = float(rows[-1][-1]) if rows else 0.0
        _begin(self.drawn, DRAWN, step)
        self._held: dict[Path, list[list[object]]] = {}
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def row(self, values: dict[str, float], drawn: Counter[tuple[str, str]]) -> None:
        """A row of figures by the names of COLUMNS, and how often each (group, source) was drawn."""
        row = [values.get(name, "") for name in COLUMNS]
        told: list[list[object]] = [[f"{v:.6g}" if isinstance(v, float) else v for v in row]]
        counts: list[list[object]] = [[values["step"], *one, count] for one, count in sorted(drawn.items())]
        for path, rows in ((self.path, told), (self.drawn, counts)):
            self._held.setdefault(path, []).extend(rows)
            with suppress(PermissionError):  # on Windows a spreadsheet that shows it holds it: they come with the next
                self._append(path)
        for name in COLUMNS[1:]:
            if name in values:
                self.board.add_scalar(name, values[name], int(values["step"]))

    def _append(self, path: Path) -> None:
        with path.open("a", newline="") as file:
            csv.writer(file).writerows(self._held.pop(path, []))

    def close(self) -> None:
        for path in (self.path, self.drawn):
            self._append(path)
        self.board.close()
        plot_log(self.path, self.folder / "curves.png")


def _begin(path: Path, columns: tuple[str, ...], step: int) -> list[list[str]]:
    """Write the rows of a table that are of steps done, and give them."""
    rows: list[list[str]] = []
    if path.exists():
        with path.open(newline="") as file:  # on a full disk its last row may have been cut short
            whole = [row for row in list(csv.reader(file))[1:] if len(row) == len(columns) and row[-1]]
            rows = [row for row in whole if int(row[0]) <= step]
    text = io.StringIO()
    csv.writer(text).writerows([list(columns), *rows])
    write_text(text.getvalue(), path)
    return rows
