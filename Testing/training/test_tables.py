"""Tables as files: a column for each plain value that any row has, names to be read."""

import pytest
from wpunet.errors import OutputError

from Testing.conftest import no_file_over
from training.tables import markdown_table, write_csv, write_text


def test_a_full_disk_leaves_what_was_there_and_nothing_half_written(tmp_path):
    write_text("before", tmp_path / "t.md")
    with no_file_over(3), pytest.raises(OutputError, match=r"t\.md cannot be written .*make room"):
        write_text("after it", tmp_path / "t.md")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"t.md": "before"}


def test_a_csv_has_the_plain_values_of_all_rows(tmp_path):
    rows = [{"case": "a", "lesions": {"found": 1}, "tumor": 0.5}, {"case": "b", "tumor_ml": 3.0, "warnings": ["c"]}]
    write_csv(rows, tmp_path / "there" / "t.csv")
    written = (tmp_path / "there" / "t.csv").read_bytes()
    assert written == b"case,tumor,tumor_ml\na,0.5,\nb,,3.0\n"  # the same bytes on any system


def test_underscores_of_columns_are_not_for_reading_but_those_of_cases_are_theirs():
    table = markdown_table(("", "tumor_ml"), [["case_00001", "1.0"]])
    assert table == ["|  | tumor ml |", "| --- | --- |", "| case_00001 | 1.0 |"]
