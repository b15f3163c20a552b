"""Stand-ins for the widgets of Slicer and CTK that the panel uses, made from the table of their real members.

``signatures`` has a file for each version of Slicer, which says which properties, signals and methods a class has. The
few that the panel's behaviour rests on work here on the real scene (``behaviours.py``); the others keep what they
are given.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from Testing.slicer.sources import SOURCE, version

from .behaviours import BEHAVIOURS
from .pythonqt import normalized

SIGNATURES = Path(__file__).parent / "signatures"

VERSION = version(SOURCE) if SOURCE else "5.12"
TABLE: dict[str, Any] = json.loads((SIGNATURES / f"{VERSION}.json").read_text("utf-8"))["widgets"]
BASES = {
    "QWidget": QtWidgets.QWidget,
    "QPushButton": QtWidgets.QPushButton,
    "QAbstractButton": QtWidgets.QAbstractButton,
}
TYPES = {"bool": bool, "int": int, "double": float, "QString": str, "QStringList": "QStringList"}
CHECKED = {"bool": bool, "int": int, "QString": str, "const QString&": str}


@dataclass(frozen=True)
class Table:
    """Members of one class with those of its Slicer bases.

    signals: name -> full signatures; methods: name -> lists of argument types, and how many of them may be left out
    """

    properties: dict[str, str]
    signals: dict[str, list[str]]
    methods: dict[str, list[tuple[list[str], int]]]


def table_of(name: str) -> Table:
    """The members of a Slicer class, inherited ones too; KeyError for a class that is not in the table."""
    own = TABLE[name]
    above = table_of(own["base"]) if own["base"] in TABLE else Table({}, {}, {})
    properties = dict(line.split(": ", 1) for line in own["properties"])
    signals: dict[str, list[str]] = {}
    methods: dict[str, list[tuple[list[str], int]]] = {}
    for line in own["signals"]:
        called, _, arguments = line.split(" ", 1)[1].partition("(")
        types = [_type(part) for part in arguments.rstrip(")").split(",")]
        signals.setdefault(called, []).append(normalized(f"{called}({','.join(types)})"))
    for line in own["methods"]:
        called, _, arguments = line.partition("(")
        parts = [part.strip() for part in arguments.rstrip(")").split(",") if part.strip()]
        types = [re.sub(r"\s*=.*|\b\w+$(?<!bool)(?<!int)", "", part).strip() for part in parts]
        methods.setdefault(called.split()[-1], []).append((types, sum("=" in part for part in parts)))
    return Table(above.properties | properties, above.signals | signals, above.methods | methods)


def _type(argument: str) -> str:
    """ "vtkMRMLNode* node" -> "vtkMRMLNode*", "bool" -> "bool" """
    words = argument.replace("*", "* ").replace("&", "& ").split()
    named = len(words) > 1 and words[-1][-1] not in "*&" and words[-2] not in ("const", "unsigned")
    return " ".join(words[:-1] if named else words)


@cache
def stand_in(name: str) -> type[QtWidgets.QWidget]:
    """The stand-in for the Slicer class ``name``: a widget with its real properties, signals and methods."""
    table = table_of(name)
    base = TABLE[name]["base"]
    parent = stand_in(base) if base in TABLE else BASES[base]
    own = TABLE[name]
    behaviour = BEHAVIOURS.get(name)
    members: dict[str, Any] = {"table": table, "__module__": __name__}
    for line in own["signals"]:
        signal, _, arguments = line.split(" ", 1)[1].partition("(")
        kinds = [part for part in arguments.rstrip(")").split(",") if part.strip()]
        members.setdefault(signal, QtCore.Signal(*(_signal_type(kind) for kind in kinds)))
    for line in own["properties"]:
        prop, kind = line.split(": ", 1)
        members[prop] = _property(prop, TYPES.get(kind, "QVariant"))
    for method in {m for m in table.methods if m not in getattr(parent, "__dict__", {})}:
        members.setdefault(method, _method(method, table.methods[method]))
    return type(name, (behaviour, parent) if behaviour else (parent,), members)


def _signal_type(kind: str) -> type:
    found = [t for t in (bool, int, float) if re.search(rf"\b{'double' if t is float else t.__name__}\b", kind)]
    return object if "*" in kind else (found[0] if found else str)


def _property(name: str, kind: Any) -> QtCore.Property:
    def get(self: Any) -> Any:
        reader = getattr(self, f"read_{name}", None)
        default = {bool: False, str: "", int: 0, "QStringList": []}.get(kind)
        return reader() if reader else self.__dict__.get(f"_{name}", default)

    def put(self: Any, value: Any) -> None:
        self.__dict__[f"_{name}"] = value
        changed = getattr(self, f"changed_{name}", None)
        if changed:
            changed(value)

    return QtCore.Property(kind, get, put)


def _method(name: str, overloads: list[tuple[list[str], int]]) -> Any:
    def call(self: Any, *given: Any) -> Any:
        if not any(_fits(given, types, optional) for types, optional in overloads):
            raise TypeError(f"{type(self).__name__}.{name} does not take {given!r}; it takes {overloads}")
        return getattr(self, f"do_{name}", lambda *_: None)(*given)

    return call


def _fits(given: tuple, types: list[str], optional: int) -> bool:
    if not len(types) - optional <= len(given) <= len(types):
        return False
    return all(_suits(value, kind) for value, kind in zip(given, types, strict=False))


def _suits(value: Any, kind: str) -> bool:
    if "vtkMRML" in kind:
        wanted = re.search(r"vtkMRML\w+", kind)[0]  # type: ignore[index]
        return value is None or (hasattr(value, "IsA") and (wanted == "vtkMRMLScene" or value.IsA(wanted)))
    return isinstance(value, CHECKED.get(kind, object))
