"""A command of the training ends in a line, whatever stops it; a mistake in the program is told as Python does."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from wpunet.errors import InputError

import training
from training.command import command


def ending(error):
    @command("it")
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (InputError("That is none."), 2, "it: That is none.\n"),
        (
            PermissionError(13, "Permission denied", "runs"),
            2,
            "it: runs cannot be used (Permission denied); check its name, its rights and the room on its disk.\n",
        ),
        (
            IsADirectoryError(21, "Is a directory", ".partial/b", None, "bundle"),  # of a file that is put in its place
            2,
            "it: bundle cannot be used (Is a directory); check its name, its rights and the room on its disk.\n",
        ),
        (OSError("no file's"), 2, "it: no file's\n"),
        (KeyboardInterrupt(), 130, "it: stopped; the same command goes on with what was kept.\n"),
    ],
)
def test_what_stops_a_command_is_told_in_a_line(error, status, says, capsys):
    assert ending(error)() == status
    assert capsys.readouterr().err == says


def test_a_mistake_in_the_program_is_not_hidden():
    with pytest.raises(TypeError):
        ending(TypeError("'int' object is not iterable"))()


def test_a_command_keeps_its_status():
    assert command("it")(lambda: 1)() == 1


def test_all_commands_end_so():
    modules = [importlib.import_module(f"training.{one.name}") for one in pkgutil.iter_modules(training.__path__)]
    mains = {module.__name__: module.main for module in modules if hasattr(module, "main")}
    assert len(mains) > 10
    assert [name for name, main in mains.items() if not hasattr(main, "__wrapped__")] == []


def test_a_console_of_a_narrow_alphabet_ends_no_training():
    """As of Windows where the words go to a file: a case is called as its folder is."""
    lines = ("from training.command import command", "@command('it')", "def main(): print('腎_1')", "main()")
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"\\u814e_1", b"")
