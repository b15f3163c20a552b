"""CTs are read ahead, one at a time, and what is wrong with one is told when it is asked for."""

import threading

import pytest
from wpunet import files, reading
from wpunet.errors import InputError
from wpunet.runtime import ahead


@pytest.fixture
def read(monkeypatch):
    """Stands for files.read; notes what was asked for, and blocks until told."""

    class Read:
        def __init__(self):
            self.asked, self.go = [], threading.Event()

        def __call__(self, path, series=None):
            self.asked.append((path, series))
            assert self.go.wait(10)
            if path == "bad":
                raise InputError("bad is empty")
            return f"volume of {path}"

    made = Read()
    monkeypatch.setattr(files, "read", made)
    return made


def test_the_first_is_begun_at_once_and_never_two_ahead(read):
    subject = reading.ReadAhead([("a", None), ("b", "1.2"), ("c", None)])
    read.go.set()
    assert subject("a", None) == "volume of a"
    assert subject("b", "1.2") == "volume of b"
    assert ("c", None) in read.asked or subject._begun[0] == ("c", None)
    assert subject("c", None) == "volume of c"
    assert read.asked == [("a", None), ("b", "1.2"), ("c", None)]  # each once


def test_no_more_than_one_waits(read):
    subject = reading.ReadAhead([("a", None), ("b", None), ("c", None)])
    read.go.set()
    subject("a", None)
    subject._begun[1].result(10)
    assert read.asked == [("a", None), ("b", None)]


def test_a_ct_that_cannot_be_read_is_told_at_its_turn_and_the_next_is_there(read):
    subject = reading.ReadAhead([("bad", None), ("b", None)])
    read.go.set()
    with pytest.raises(InputError, match="bad is empty"):
        subject("bad", None)
    assert subject("b", None) == "volume of b"


def test_what_was_not_announced_is_read_all_the_same(read):
    read.go.set()
    assert reading.ReadAhead([])("z", None) == "volume of z"
    assert reading.ReadAhead([("a", None)])("z", None) == "volume of z"
    assert reading.ReadAhead([("a", "1.2")])("a", "3.4") == "volume of a"
    assert ("a", "3.4") in read.asked  # another series of the same folder


def test_the_last_is_not_kept(read):
    read.go.set()
    subject = reading.ReadAhead([("a", None)])
    subject("a", None)
    assert subject._begun is None


def test_what_nobody_asked_for_is_let_go_when_a_later_one_is_asked_for(read):
    """As a CT that is refused before it is read, where DICOM results are asked for and it is none."""
    subject = reading.ReadAhead([("a", None), ("b", None), ("c", None), ("d", None)])
    read.go.set()
    assert subject("c", None) == "volume of c"
    assert subject._begun[0] == ("d", None)
    assert subject("d", None) == "volume of d"
    assert read.asked == [("a", None), ("c", None), ("d", None)]


def test_work_goes_on_while_the_next_piece_is_made():
    made, worked, both = [], [], threading.Barrier(2, timeout=10)

    def pieces():
        for k in range(5):
            if k:
                both.wait()  # meets the work on the piece before, which therefore runs at the same time
            made.append(k)
            yield k

    def work(k):
        if k < 4:
            both.wait()
        worked.append(k)
        return k * k

    assert list(ahead(work, pieces())) == [0, 1, 4, 9, 16]
    assert made == worked == [0, 1, 2, 3, 4]


def test_an_error_in_the_work_ends_it():
    def work(k):
        if k == 2:
            raise InputError("two")
        return k

    with pytest.raises(InputError, match="two"):
        list(ahead(work, range(5)))
