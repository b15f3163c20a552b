"""What the module asks of Slicer is there in each version that it is for, by names and parameters of its sources."""

from __future__ import annotations

import ast
import json
import xml.etree.ElementTree as ET

import pytest

from .desktop import MODULE
from .pythonqt import api_of
from .stand_ins import BASES, SIGNATURES

FILES = [MODULE, *sorted((MODULE.parent / "WPUNetSegmentLib").glob("*.py"))]
UI = MODULE.parent / "Resources" / "UI" / "WPUNetSegment.ui"
VERSIONS = sorted(path.stem for path in SIGNATURES.glob("*.json"))
SCRIPTS = [
    MODULE.parents[1] / "docs" / "segment_in_slicer.py",
    MODULE.parents[1] / "Testing" / "slicer" / "in_slicer.py",
]
# Names of slicer.util that are no functions of its own file: classes, and what it imports.
CLASSES = {"VTKObservationMixin", "NodeModify"}
# Functions that are not in each version, and who asks for them only where they are.
SINCE = {"slicer.packaging": "5.12"}
SHORT = {"slicer.packaging": "packaging"}  # from slicer import packaging


@pytest.fixture(params=VERSIONS)
def slicers(request):
    return json.loads((SIGNATURES / f"{request.param}.json").read_text("utf-8"))


def calls(owner):
    """Calls of ``owner.name(...)``, such as slicer.util's, in the module's code: (file, name, call)."""
    for file in [*FILES, *SCRIPTS]:
        tree = ast.parse(file.read_text("utf-8"))
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and ast.unparse(called.value) in (owner, SHORT.get(owner)):
                yield file.name, called.attr, node


def problem(call, parameters):
    """What is wrong with a call of a function with these parameters; "" where nothing is."""
    names = [part for part in parameters.split(", ") if part and not part.startswith("*")]
    at = parameters.split(", ").index("*") if "*" in parameters.split(", ") else len(names)
    plain, takes = names[:at], {name.rstrip("=") for name in names}
    anything = any(part.startswith("**") for part in parameters.split(", "))
    many = any(part.startswith("*") and len(part) > 1 and part[1] != "*" for part in parameters.split(", "))
    given = [keyword.arg for keyword in call.keywords if keyword.arg]
    if not anything and set(given) - takes:
        return f"no parameter {', '.join(set(given) - takes)}"
    if len(call.args) > len(plain) and not many:
        return f"takes {len(plain)} and gets {len(call.args)}"
    filled = {name.rstrip("=") for name in plain[: len(call.args)]} | set(given)
    lacking = {name for name in names if not name.endswith("=")} - filled
    unpacked = any(keyword.arg is None for keyword in call.keywords) or any(
        isinstance(a, ast.Starred) for a in call.args
    )
    return "" if unpacked or not lacking else f"lacks {', '.join(lacking)}"


@pytest.mark.parametrize("owner", ["slicer.util", "SampleDataLogic"])
def test_functions_are_there_with_these_parameters(slicers, owner):
    found = list(calls(owner))
    assert len(found) >= 2
    for file, name, call in found:
        if name in CLASSES:
            continue
        assert name in slicers[owner], f"{file}: {owner} has no {name}"
        assert not problem(call, slicers[owner][name]), f"{file}: {name}: {problem(call, slicers[owner][name])}"


def test_functions_that_came_later_are_asked_for_where_they_may_be_absent(slicers):
    for owner in SINCE:
        found = {name: call for _file, name, call in calls(owner)}
        assert set(found) == {"pip_install"}
        for name, call in found.items() if slicers[owner] else ():
            assert not problem(call, slicers[owner][name])


@pytest.mark.parametrize(
    ("code", "parameters", "told"),
    [
        ("f(1)", "a", ""),
        ("f()", "a", "lacks a"),
        ("f(1, 2)", "a", "takes 1 and gets 2"),
        ("f(1, c=2)", "a, b=", "no parameter c"),
        ("f(1, b=2)", "a, b=", ""),
        ("f(1, 2, 3)", "a, *rest", ""),
        ("f(1, x=2)", "a, **more", ""),
        ("f(1, 2)", "a, *, b=", "takes 1 and gets 2"),
        ("f(**given)", "a", ""),
    ],
)
def test_a_wrong_call_is_found(code, parameters, told):
    assert problem(ast.parse(code).body[0].value, parameters) == told


def test_widgets_have_what_the_panel_asks_of_them(slicers):
    kinds = {widget.get("name"): widget.get("class") for widget in ET.parse(UI).getroot().iter("widget")}
    asked = 0
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Attribute):
                continue
            kind = kinds.get(node.value.attr)
            if kind in slicers["widgets"]:
                asked += 1
                assert node.attr in members(kind, slicers["widgets"]), f"{file.name}: {kind} has no {node.attr}"
    assert asked > 8


def test_so_do_the_ui_file_and_what_is_connected(slicers):
    widgets = slicers["widgets"]
    root = ET.parse(UI).getroot()
    for widget in root.iter("widget"):
        if widget.get("class") in widgets:
            named = {p.get("name") for p in widget.findall("property") if p.get("stdset") != "0"}
            unknown = named - members(widget.get("class"), widgets)
            assert not unknown, f"{widget.get('name')}: {unknown}"
    kinds = {widget.get("name"): widget.get("class") for widget in root.iter("widget")}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            connects = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".connect")
            kind = connects and kinds.get(ast.unparse(node.func).split(".")[-2])
            if kind in widgets:
                signal = node.args[0].value.partition("(")[0]
                assert signal in members(kind, widgets), f"{file.name}: {kind} has no signal {signal}"


def members(kind, widgets):
    """Names of the properties, signals and methods that PythonQt shows of a class."""
    if kind not in widgets:
        api = api_of(BASES[kind])
        return {*api.properties, *api.signals, *api.methods, "connect", "name", "findChildren", "property"}
    own = widgets[kind]
    named = {line.partition(":")[0] for line in own["properties"]}
    for line in (*own["signals"], *own["methods"]):
        named.add(line.partition("(")[0].split()[-1].lstrip("*&"))
    return named | members(own["base"], widgets)


def test_the_files_say_what_the_versions_differ_in():
    """So that a file made of the wrong sources is noticed."""
    tables = {version: json.loads((SIGNATURES / f"{version}.json").read_text("utf-8")) for version in VERSIONS}
    assert {"5.10", "5.12"} <= set(tables)
    assert not tables["5.10"]["slicer.packaging"]
    assert "no_deps_requirements=" in tables["5.12"]["slicer.packaging"]["pip_install"]
    combo = {version: str(table["widgets"]["qMRMLNodeComboBox"]["signals"]) for version, table in tables.items()}
    assert "nodeAddedByUserAction" not in combo["5.10"]
    assert "nodeAddedByUserAction" in combo["5.12"]
