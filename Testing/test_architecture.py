"""The rules of the house that a machine can watch: which way imports run, how long files are, nothing executable."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINE = sorted((ROOT / "WPUNetSegment" / "wpunet").glob("*.py"))
VIEW = sorted((ROOT / "WPUNetSegment" / "wpunet_view").glob("*.py"))  # the page for browsers, on Slicer's core
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
        if path.name != "cli.py":  # whose command "view" loads it when it is asked for
            assert "wpunet_view" not in set(imported(path)), path
    for path in VIEW:
        assert not {"qt", "ctk", "training", "Testing", "WPUNetSegmentLib"} & set(imported(path)), path


def test_the_module_builds_on_the_engine_alone_and_its_logic_needs_no_window():
    for path in MODULE:
        assert not {"training", "Testing", "torch", "openvino", "nibabel", "wpunet_view"} & set(imported(path)), path
        if path.stem in WITHOUT_A_WINDOW:
            assert not {"qt", "ctk", "PythonQt"} & set(imported(path)), path
    assert set(WITHOUT_A_WINDOW) <= {path.stem for path in MODULE}


def files_imported(path, files):
    """Which of ``files`` (by dotted name) the file ``path`` imports, be it only for types or in a function."""
    package = dotted(path) if path.stem == "__init__" else dotted(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            start = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (start, node.module)))
            within = [f"{module}.{alias.name}" for alias in node.names if f"{module}.{alias.name}" in files]
            names = within or [module]  # "from . import a" asks for a, not for the package's __init__
        else:
            continue
        yield from (name for name in names if name in files and name != dotted(path))


def dotted(path):
    """``.../wpunet/files.py`` -> "wpunet.files"; a package's __init__ goes by the package's name."""
    base = ROOT if path.is_relative_to(ROOT / "training") else ROOT / "WPUNetSegment"
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def circle(imports):
    """Names that import each other in a loop, first and last the same; empty where there is none."""
    done, trail = set(), []

    def walk(name):
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        trail.append(name)
        for further in sorted(imports[name]):
            if found := walk(further):
                return found
        done.add(trail.pop())
        return []

    return next(filter(None, map(walk, sorted(imports))), [])


def test_no_files_import_each_other_in_a_circle():
    files = {dotted(path): path for path in [*ENGINE, *VIEW, *MODULE, *TRAINING]}
    imports = {name: set(files_imported(path, files)) for name, path in files.items()}
    assert "wpunet.labels" in imports["wpunet.measure"]
    assert "wpunet.cli" in imports["wpunet.__main__"]
    assert "wpunet.errors" in imports["wpunet_view.run"]
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle(imports) == []


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
        assert len(path.read_text("utf-8").splitlines()) <= 400, path


def test_nothing_phones_home():
    for path in [*ENGINE, *VIEW, *MODULE]:
        assert not {"requests", "urllib", "http", "socket", "httpx"} & set(imported(path)), path
