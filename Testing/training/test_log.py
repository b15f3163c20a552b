"""What a run tells while it goes is told whole, even where somebody looks at it."""

import csv
from collections import Counter
from pathlib import Path

from training.log import Log


def test_rows_that_a_spreadsheet_held_back_come_with_the_next(tmp_path, monkeypatch):
    """As on Windows; a run of hours ended."""
    held, opened = [], Path.open

    def refusing(path, mode="r", *more, **named):
        if mode == "a" and path.name in held:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode, *more, **named)

    monkeypatch.setattr(Path, "open", refusing)
    log = Log(tmp_path, 0)
    for step, names in enumerate(([], ["log.csv", "drawn.csv"], ["log.csv"], [], ["log.csv"]), 1):
        held[:] = names
        log.row({"step": step, "loss": 0.5, "seconds": 2.0 * step}, Counter({("labelled", "kits"): step}))
    held.clear()
    log.close()
    for name in ("log.csv", "drawn.csv"):
        with (tmp_path / name).open(newline="") as file:
            assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3", "4", "5"]
