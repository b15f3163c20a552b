"""Tables as files: a column for each plain value that any row has, names to be read."""

from training.tables import markdown_table, write_csv


def test_a_csv_has_the_plain_values_of_all_rows(tmp_path):
    rows = [{"case": "a", "lesions": {"found": 1}, "tumor": 0.5}, {"case": "b", "tumor_ml": 3.0, "warnings": ["c"]}]
    write_csv(rows, tmp_path / "there" / "t.csv")
    written = (tmp_path / "there" / "t.csv").read_bytes()
    assert written == b"case,tumor,tumor_ml\na,0.5,\nb,,3.0\n"  # the same bytes on any system


def test_underscores_of_columns_are_not_for_reading_but_those_of_cases_are_theirs():
    table = markdown_table(("", "tumor_ml"), [["case_00001", "1.0"]])
    assert table == ["|  | tumor ml |", "| --- | --- |", "| case_00001 | 1.0 |"]
