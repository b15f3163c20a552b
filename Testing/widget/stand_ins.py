"""Stand-ins for the widgets of Slicer and CTK that the panel uses, made from the table of their real members.

``signatures`` has a file for each version of Slicer, which says which properties, signals and methods a class has. The
few that the panel's behaviour rests on work here on the real scene (``BEHAVIOURS`` below); the others keep what they
are given.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

from Testing.slicer.sources import SOURCE, version

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


class SceneWidget:
    """Keeps the scene, as every qMRML widget does."""

    _scene: Any = None

    def do_mrmlScene(self) -> Any:
        return self._scene

    def do_setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class NodeComboBox:
    """Lists the scene's nodes of its kinds; below them "Create new" and "Rename", as Slicer does."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene, self._node, self._tags = None, None, []
        self._attributes: dict[tuple[str, str], str] = {}
        self.box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        self.box.setFocusProxy(self)  # as in Slicer: the Tab key finds neither
        self.box.activated.connect(self._activated)

    def nodes(self) -> list[Any]:
        """The nodes that can be chosen."""
        kinds = self.property("nodeTypes") or []
        found = []
        for kind in kinds if self._scene else []:
            nodes = self._scene.GetNodesByClass(kind)
            nodes.UnRegister(None)
            found += [nodes.GetItemAsObject(k) for k in range(nodes.GetNumberOfItems())]
        exact = [n for n in found if self.property("showChildNodeTypes") or n.GetClassName() in kinds]
        return [n for n in exact if not n.GetHideFromEditors()]

    def refill(self, *_: Any) -> None:
        """What the scene holds now into the list."""
        if not shiboken6.isValid(self):
            return  # the panel is gone, the scene still tells its observers
        if self._scene and self._node and not self._scene.IsNodePresent(self._node):
            self._turn_to_another()
            return
        self.box.blockSignals(True)
        self.box.clear()
        if self.property("noneEnabled"):
            self.box.addItem(self.property("noneDisplay") or "None", "none")
        for node in self.nodes():
            self.box.addItem(node.GetName(), node.GetID())
        for wanted, action in (("addEnabled", "Create new…"), ("renameEnabled", "Rename…")):
            if self.property(wanted):
                self.box.addItem(action, wanted)
        at = self.box.findData(self._node.GetID()) if self._node else -1
        self.box.setCurrentIndex(at if at >= 0 else (0 if self.property("noneEnabled") else -1))
        self.box.blockSignals(False)

    def _turn_to_another(self) -> None:
        """As a QComboBox does when the row that is chosen is taken away: the row before it, else the first."""
        at, self._node = max(self.box.currentIndex() - 1, 0), None
        choices = ([None] if self.property("noneEnabled") else []) + self.nodes()
        self.refill()
        self._node = choices[min(at, len(choices) - 1)] if choices else None
        self.refill()
        self.currentNodeChanged.emit(self._node)

    def _activated(self, at: int) -> None:
        chosen = self.box.itemData(at)
        if chosen == "addEnabled":
            node = self.do_addNode()
            self.do_setCurrentNode(node)
            if hasattr(self, "nodeAddedByUserAction"):
                self.nodeAddedByUserAction.emit(node)
            else:  # 5.10: a second time
                self.nodeAddedByUser.emit(node)
        elif chosen != "renameEnabled":
            self.do_setCurrentNode(None if chosen == "none" else self._scene.GetNodeByID(chosen))
        self.refill()

    def do_setMRMLScene(self, scene: Any) -> None:
        import slicer

        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, slicer.vtkMRMLScene.EndCloseEvent) if scene else ()
        self._tags = [scene.AddObserver(event, self.refill) for event in events]
        self.refill()
        if not self.property("noneEnabled") and self._node is None and self.nodes():
            self.do_setCurrentNode(self.nodes()[0])

    def changed_nodeTypes(self, _: Any) -> None:
        self.refill()

    changed_noneEnabled = changed_noneDisplay = changed_nodeTypes

    def do_mrmlScene(self) -> Any:
        return self._scene

    def do_currentNode(self) -> Any:
        return self._node

    def do_setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node)
        if node is not None and node not in self.nodes():
            node = None
        if node is self._node:
            return
        self._node = node
        self.refill()
        self.currentNodeChanged.emit(node)

    do_setCurrentNodeID = do_setCurrentNode

    def read_currentNodeID(self) -> str:
        return self._node.GetID() if self._node else ""

    def do_addNode(self, kind: str = "") -> Any:
        node = self._scene.AddNewNodeByClass(
            kind or self.property("nodeTypes")[0],
            self._scene.GenerateUniqueName(self.property("baseName") or "Node"),
        )
        self.do_setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node


class CollapsibleButton:
    """A heading with an arrow; a click on it hides or shows what is below."""

    HEADING = 26

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._own = False
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(2, self.HEADING, 2, 2)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self.toggled.connect(lambda open_: self.changed_collapsed(not open_))

    def read_collapsed(self) -> bool:
        return not self.isChecked()

    def changed_collapsed(self, collapsed: bool) -> None:
        if self.isChecked() == collapsed:
            self.setChecked(not collapsed)
            return
        for child in self.children():
            if child.isWidgetType():
                self._show(child, not collapsed and child.property("visibleWhenOpen") is not False)
        self.setMaximumHeight(self.HEADING if collapsed else 16777215)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    def _show(self, child: QtWidgets.QWidget, shown: bool) -> None:
        self._own = True
        child.setVisible(shown)
        self._own = False

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        if event.added() and event.child().isWidgetType():
            event.child().installEventFilter(self)
            if not self.isChecked():
                self._show(event.child(), False)

    def eventFilter(self, child: QtCore.QObject, event: QtCore.QEvent) -> bool:
        """As CTK: what others show or hide while the section is closed is remembered for when it opens."""
        kind = event.type()
        if kind in (QtCore.QEvent.Type.ShowToParent, QtCore.QEvent.Type.HideToParent) and not self._own:
            child.setProperty("visibleWhenOpen", kind == QtCore.QEvent.Type.ShowToParent)
            if not self.isChecked():
                self._show(child, False)
        return False

    def sizeHint(self) -> QtCore.QSize:
        inside = (
            self.layout().totalSizeHint() if self.layout() and self.isChecked() else QtCore.QSize(100, self.HEADING)
        )
        return inside.expandedTo(QtCore.QSize(100, self.HEADING))

    def minimumSizeHint(self) -> QtCore.QSize:
        inside = self.layout().totalMinimumSize() if self.layout() and self.isChecked() else QtCore.QSize(100, 0)
        return inside.expandedTo(QtCore.QSize(100, self.HEADING))

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self.HEADING

    def paintEvent(self, _: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        heading = QtCore.QRect(0, 0, self.width(), self.HEADING - 4)
        painter.fillRect(heading, self.palette().color(QtGui.QPalette.ColorRole.Button).darker(106))
        option = QtWidgets.QStyleOption()
        option.initFrom(self)
        option.rect = QtCore.QRect(4, 5, 12, 12)
        style = QtWidgets.QStyle.PrimitiveElement
        arrow = style.PE_IndicatorArrowDown if self.isChecked() else style.PE_IndicatorArrowRight
        self.style().drawPrimitive(arrow, option, painter, self)
        flags = QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.TextFlag.TextShowMnemonic
        painter.drawText(heading.adjusted(22, 0, 0, 0), flags, self.text())
        painter.end()


class SegmentEditor:
    """Keeps which nodes are edited; shows where Slicer's own Segment Editor stands."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._editor, self._segmentation, self._source, self._current = None, None, None, ""
        self.setMinimumHeight(96)

    def do_setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._editor = node

    def do_mrmlSegmentEditorNode(self) -> Any:
        return self._editor

    def do_setSegmentationNode(self, node: Any) -> None:
        if self._editor is None:
            raise RuntimeError("The Segment Editor needs a vtkMRMLSegmentEditorNode before a segmentation.")
        self._segmentation = node
        self.segmentationNodeChanged.emit(node)

    def do_segmentationNode(self) -> Any:
        return self._segmentation

    def do_setSourceVolumeNode(self, node: Any) -> None:
        self._source = node

    def do_sourceVolumeNode(self) -> Any:
        return self._source

    def do_setCurrentSegmentID(self, segment: str) -> None:
        self._current = segment

    def do_currentSegmentID(self) -> str:
        return self._current

    def paintEvent(self, _: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.setPen(QtGui.QPen(self.palette().mid().color(), 1, QtCore.Qt.PenStyle.DashLine))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.setPen(self.palette().placeholderText().color())
        painter.drawText(self.rect(), QtCore.Qt.AlignmentFlag.AlignCenter, "Slicer's Segment Editor")
        painter.end()


class Show3DButton:
    """Makes the surfaces of a segmentation, or takes them away."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._segmentation = None
        self.setText("Show 3D")
        self.setCheckable(True)
        self.toggled.connect(self._toggled)

    def do_setSegmentationNode(self, node: Any) -> None:
        self._segmentation = node
        self.setEnabled(node is not None)

    def do_segmentationNode(self) -> Any:
        return self._segmentation

    def _toggled(self, shown: bool) -> None:
        if self._segmentation is None:
            return
        if shown:
            self._segmentation.CreateClosedSurfaceRepresentation()
        else:
            self._segmentation.RemoveClosedSurfaceRepresentation()


BEHAVIOURS: dict[str, type] = {
    "qMRMLWidget": SceneWidget,
    "qMRMLNodeComboBox": NodeComboBox,
    "ctkCollapsibleButton": CollapsibleButton,
    "qMRMLSegmentEditorWidget": SegmentEditor,
    "qMRMLSegmentationShow3DButton": Show3DButton,
}
