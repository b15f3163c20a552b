"""The rules of the house that a machine can watch: which way imports run, how long files are, nothing executable."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINE = sorted((ROOT / "WPUNetSegment" / "wpunet").glob("*.py"))
VIEW = sorted((ROOT / "WPUNetSegment" / "wpunet" / "view").glob("*.py"))  # the one part that may know Slicer's core
TRAINING = sorted((ROOT / "training").rglob("*.py"))
MODULE = [*(ROOT / "WPUNetSegment").glob("*.py"), *sorted((ROOT / "WPUNetSegment" / "WPUNetSegmentLib").glob("*.py"))]
WITHOUT_A_WINDOW = ("logic", "run", "handover", "scene", "undo", "install", "training_case")  # parts of the module
SOURCES = [*ENGINE, *VIEW, *TRAINING, *MODULE, *sorted((ROOT / "Testing").rglob("*.py"))]


def imported(path):
    """The top-level packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_the_engine_knows_neither_slicer_nor_training():
    assert ENGINE
    for path in ENGINE:
        assert not {"slicer", "qt", "ctk", "vtk", "training", "Testing", "torch_pruning"} & set(imported(path)), path


def test_the_engine_does_without_the_page():
    assert VIEW
    for path in ENGINE:
        assert not {"trame", "trame_slicer", "aiohttp"} & set(imported(path)), path
        if path.name != "cli.py":
            assert not re.search(r"(from|import) [^#\n]*\bview\b", path.read_text("utf-8")), path
    for path in VIEW:
        assert not {"qt", "ctk", "training", "Testing"} & set(imported(path)), path


def test_the_module_builds_on_the_engine_alone_and_its_logic_needs_no_window():
    for path in MODULE:
        assert not {"training", "Testing", "torch", "openvino", "nibabel"} & set(imported(path)), path
        if path.stem in WITHOUT_A_WINDOW:
            assert not {"qt", "ctk", "PythonQt"} & set(imported(path)), path
    assert set(WITHOUT_A_WINDOW) <= {path.stem for path in MODULE}


def test_training_knows_no_slicer():
    assert TRAINING
    for path in TRAINING:
        assert not {"slicer", "qt", "ctk", "vtk"} & set(imported(path)), path


def test_nothing_is_unpickled():
    for path in [*ENGINE, *VIEW, *MODULE, *TRAINING]:
        assert "pickle" not in set(imported(path))
        assert not re.search(r"torch\.(load|save)\(|allow_pickle", path.read_text("utf-8")), path


def test_files_stay_short():
    for path in SOURCES:
        assert len(path.read_text("utf-8").splitlines()) <= 420, path


def test_nothing_phones_home():
    for path in [*ENGINE, *VIEW, *MODULE]:
        assert not {"requests", "urllib", "http", "socket", "httpx"} & set(imported(path)), path
