"""Writes what a version of Slicer offers to Python into a file beside this one, from its sources:

python -m Testing.widget.signatures.make SLICER_FOLDER CTK_FOLDER

Functions of ``slicer.util``, ``slicer.packaging`` and ``SampleData`` with their parameters; properties, signals, slots
and invokable methods of the widgets that the panel uses, which is what PythonQt shows of them beside those of Qt's own
base.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

from Testing.slicer.sources import PYTHON, version

HERE = Path(__file__).parent
WIDGETS = (
    "qMRMLWidget",
    "qMRMLNodeComboBox",
    "qMRMLSegmentEditorWidget",
    "qMRMLSegmentationShow3DButton",
    "ctkMenuButton",
    "ctkCollapsibleButton",
)


def main(slicer: Path, ctk: Path) -> None:
    table = {
        "slicer.util": functions(slicer / PYTHON / "util.py"),
        "slicer.packaging": functions(slicer / PYTHON / "packaging.py"),
        "SampleDataLogic": functions(slicer / "Modules/Scripted/SampleData/SampleData.py", "SampleDataLogic"),
        "widgets": {name: widget(name, slicer, ctk) for name in WIDGETS},
    }
    text = json.dumps(table, indent=1, ensure_ascii=False)
    (HERE / f"{version(slicer)}.json").write_text(text + "\n", "utf-8")


def functions(file: Path, inside: str = "") -> dict[str, str]:
    """name -> "a, b=, *, c=": parameters of the public functions of a file, or of a class in it, "=" where optional."""
    if not file.exists():
        return {}
    nodes: Any = ast.parse(file.read_text("utf-8")).body
    if inside:
        (found,) = (node for node in nodes if isinstance(node, ast.ClassDef) and node.name == inside)
        nodes = found.body
    made = {node.name: parameters(node) for node in nodes if isinstance(node, ast.FunctionDef)}
    return {name: text for name, text in sorted(made.items()) if not name.startswith("_")}


def parameters(function: ast.FunctionDef) -> str:
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    needed = len(plain) - len(given.defaults)
    parts = [one.arg + ("=" if at >= needed else "") for at, one in enumerate(plain) if one.arg != "self"]
    if given.vararg or given.kwonlyargs:
        parts.append(f"*{given.vararg.arg if given.vararg else ''}")
    parts += [
        one.arg + ("=" if default else "") for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    return ", ".join([*parts, *([f"**{given.kwarg.arg}"] if given.kwarg else [])])


def widget(name: str, slicer: Path, ctk: Path) -> dict[str, Any]:
    """Base class, header, and the class's own members; those of its base are in the base's own entry."""
    root, file = next((root, file) for root in (slicer, ctk) for file in sorted(root.rglob(f"{name}.h")))
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", file.read_text("utf-8", "replace"), flags=re.DOTALL)
    base = re.search(rf"class\s+(?:\w+\s+)?{name}\s*:\s*public\s+(\w+)", text)[1]
    body = text[text.index(base, text.index(f"{name}\n") if f"{name}\n" in text else 0) :]
    properties = re.findall(r"Q_PROPERTY\s*\(\s*([\w:<>]+(?:\s*\*)?)\s+(\w+)\s+READ", body)
    parts = re.split(r"\n\s*((?:public|protected|private)(?:\s+(?:slots|Q_SLOTS))?|signals|Q_SIGNALS)\s*:", body)
    sections = list(zip(parts[1::2], parts[2::2], strict=True))
    slots = [line for kind, part in sections if re.match(r"public\s+(slots|Q_SLOTS)", kind) for line in declared(part)]
    signals = [line for kind, part in sections if kind in ("signals", "Q_SIGNALS") for line in declared(part)]
    invokable = [line for kind, part in sections if kind == "public" for line in declared(part, "Q_INVOKABLE")]
    return {
        "base": base,
        "header": file.relative_to(root).as_posix(),
        "properties": [f"{called}: {kind}" for kind, called in properties],
        "signals": signals,
        "methods": [*slots, *invokable],
    }


def declared(part: str, marked: str = "") -> list[str]:
    """The methods that a part of a class declares, one line each, in Qt's words: no virtual, override or body."""
    part = re.sub(r"^\s*(Q_DECLARE_\w+|Q_DISABLE_\w+|#)[^\n]*$", "", part, flags=re.MULTILINE)
    found = []
    for one in re.findall(r"[^;{}]+\([^;{}]*\)[^;{}]*(?:;|\{)", part):
        line = " ".join(one.rstrip(";{").split())
        if marked and marked not in line:
            continue
        line = re.sub(r"^.*\bQ_INVOKABLE\b|\b(virtual|static|override)\b|=\s*0\s*$", "", line)
        line = re.sub(r"\)\s*const\b", ")", line).strip()
        if re.match(r"[\w:<>*& ,]+\b\w+\s*\(", line):
            found.append(re.sub(r"\s+\*", "*", line))
    return found


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
