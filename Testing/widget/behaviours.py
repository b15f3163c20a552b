"""What the stand-ins for Slicer's and CTK's widgets do, as far as the panel rests on it: on the real scene."""

from __future__ import annotations

from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets


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
        self._segmentation, self._inside, self._tag = None, None, 0
        self.setText("Show 3D")
        self.setCheckable(True)
        self.toggled.connect(self._toggled)

    def do_setSegmentationNode(self, node: Any) -> None:
        import slicer

        if self._inside is not None:
            self._inside.RemoveObserver(self._tag)
        self._segmentation, self._inside = node, node.GetSegmentation() if node else None
        if node is not None:
            event = slicer.vtkSegmentation.ContainedRepresentationNamesModified
            self._tag = self._inside.AddObserver(event, self._show_state)
        self.setEnabled(node is not None)
        self._show_state()

    def _show_state(self, *_: Any) -> None:
        """Pressed while there are surfaces."""
        if not shiboken6.isValid(self):
            return
        self.blockSignals(True)
        self.setChecked(self._inside is not None and bool(self._inside.ContainsRepresentation("Closed surface")))
        self.blockSignals(False)

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
