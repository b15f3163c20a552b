"""Loads a Slicer ``.ui`` file outside Slicer; what Slicer would drop with a line on the console raises here."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from PySide6 import QtCore, QtWidgets
from PySide6.QtUiTools import QUiLoader

from .pythonqt import api_of, normalized
from .stand_ins import TABLE, stand_in, table_of


class UiError(Exception):
    """Something in the file that Slicer does not have; one line for each."""


class _Loader(QUiLoader):
    """Makes stand-ins where Qt has no class of that name; ``made`` keeps them until they have a parent."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[QtWidgets.QWidget] = []

    def createWidget(self, name: str, parent: QtWidgets.QWidget | None = None, called: str = "") -> QtWidgets.QWidget:
        if name not in TABLE:
            return super().createWidget(name, parent, called)
        widget = stand_in(name)(parent)
        widget.setObjectName(called)
        self.made.append(widget)
        return widget


def load(path: Path | str) -> QtWidgets.QWidget:
    """The top widget, connected; raises UiError with each class, property, buddy or connection that does not exist."""
    root = ET.parse(path).getroot()
    problems = list(check(root))
    if problems:
        raise UiError(f"{path}:\n" + "\n".join(problems))
    connections = [_ends(connection) for connection in root.iter("connection")]
    for element in root.findall("connections"):
        root.remove(element)  # QUiLoader knows no vtkMRMLScene*; they are made below
    buffer = QtCore.QBuffer()
    buffer.setData(ET.tostring(root))
    buffer.open(QtCore.QBuffer.OpenModeFlag.ReadOnly)
    loader = _Loader()
    top = loader.load(buffer)
    if top is None:
        raise UiError(f"{path}: {loader.errorString()}")
    top.made = loader.made
    for sender, signal, receiver, slot in connections:
        ends = {w.objectName(): w for w in (top, *top.findChildren(QtWidgets.QWidget))}
        getattr(ends[sender], signal.partition("(")[0]).connect(getattr(ends[receiver], slot.partition("(")[0]))
    return top


def check(root: ET.Element) -> Iterator[str]:
    """What is wrong with a parsed file, one sentence each."""
    widgets = list(root.iter("widget"))
    names = {widget.get("name", ""): widget.get("class", "") for widget in widgets}
    if len(names) < len(widgets):
        yield "two widgets have the same name"
    custom = {element.findtext("class"): element.findtext("extends") for element in root.iter("customwidget")}
    for name in {c for c in names.values() if not hasattr(QtWidgets, c)} - set(custom):
        yield f"{name} is missing among the customwidgets"
    for widget in widgets:
        yield from _widget_problems(widget, names)
    for stop in root.iter("tabstop"):
        if stop.text not in names:
            yield f"tab stop {stop.text} is no widget"
    for connection in root.iter("connection"):
        yield from _connection_problems(*_ends(connection), names)


def _class(name: str) -> type | None:
    return stand_in(name) if name in TABLE else getattr(QtWidgets, name, None)


def _widget_problems(widget: ET.Element, names: dict[str, str]) -> Iterator[str]:
    called, name = widget.get("name"), widget.get("class", "")
    cls = _class(name)
    if cls is None:
        yield f"{called}: Slicer has no class {name}"
        return
    properties = api_of(cls).properties
    for element in widget.findall("property"):
        wanted = element.get("name", "")
        if wanted == "buddy":
            if element.findtext("cstring") not in names:
                yield f"{called}: its buddy {element.findtext('cstring')} is no widget"
        elif element.get("stdset") == "0":
            if wanted != "SlicerParameterName":
                yield f"{called}: {wanted} means nothing to Slicer"
        elif wanted not in properties or not properties[wanted].isWritable():
            yield f"{called}: {name} has no property {wanted}"


def _ends(connection: ET.Element) -> tuple[str, str, str, str]:
    sender, signal, receiver, slot = (
        connection.findtext(part, "") for part in ("sender", "signal", "receiver", "slot")
    )
    return sender, signal, receiver, slot


def _connection_problems(sender: str, signal: str, receiver: str, slot: str, names: dict[str, str]) -> Iterator[str]:
    for end in (sender, receiver):
        if end not in names:
            yield f"connection with {end}, which is no widget"
            return
    if names[sender] not in TABLE or names[receiver] not in TABLE:
        yield f"connection {sender} to {receiver}: only Slicer's own widgets are connected in the file"
        return
    if normalized(signal) not in table_of(names[sender]).signals.get(signal.partition("(")[0], []):
        yield f"{names[sender]} has no signal {signal}"
    takes = [types for types, _ in table_of(names[receiver]).methods.get(slot.partition("(")[0], [])]
    if slot.partition("(")[2].rstrip(")").split(",") not in takes:
        yield f"{names[receiver]} has no slot {slot}"
