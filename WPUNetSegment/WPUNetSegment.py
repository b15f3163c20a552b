"""WPUNetSegment: finds kidneys and kidney tumors in CT. The module that 3D Slicer loads, and its self-test."""

import sys
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from wpunet.errors import InstallError
from WPUNetSegmentLib import install, self_test
from WPUNetSegmentLib.logic import WPUNetSegmentLogic as SceneLogic

GUIDE = "https://github.com/WPUNetSegment/SlicerWPUNetSegment/blob/main/docs/slicer.md"
LOOK_AGAIN_MS = 200


class WPUNetSegment(ScriptedLoadableModule):
    """Name, category and texts of the module."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("WP-UNet Kidney Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Markups", "SegmentEditor", "Segmentations", "SubjectHierarchy", "Terminologies"]
        parent.contributors = ["WPUNetSegment contributors"]
        parent.helpText = _(
            "Finds kidneys and kidney tumors in CT within seconds, offline, without a graphics card. "
            "Choose a CT and press Segment; look at the result, correct it, measure it. "
            "For research only: not a medical device. The <a href='{guide}'>guide</a> has a tutorial and help."
        ).format(guide=GUIDE)
        parent.acknowledgementText = _(
            "The network is WP-UNet (Rao, Chatterjee, Sharma: J Med Signals Sens 2022;12:108-113), reimplemented; "
            "its weights were trained on KiTS19 and KiTS23 (Heller et al.) and are for non-commercial use "
            "(CC BY-NC-SA 4.0)."
        )
        slicer.app.connect("startupCompleted()", _register_sample)


def _register_sample() -> None:
    """The phantom in the module Sample Data: made on this computer when it is asked for, nothing is downloaded."""
    from WPUNetSegmentLib import sample

    sample.register()


class WPUNetSegmentLogic(SceneLogic, ScriptedLoadableModuleLogic):
    """The logic for scripts (see WPUNetSegmentLib/logic.py) with the parameters in the scene."""

    def __init__(self, start_engine: Any = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        SceneLogic.__init__(self, start_engine)
        self._parameters: Any = None

    def getParameterNode(self) -> Any:
        """The same wrapper for as long as its node is the scene's: each new one leaves observers behind."""
        from WPUNetSegmentLib.parameters import Parameters

        node = super().getParameterNode()
        if self._parameters is None or self._parameters.parameterNode is not node:
            self._parameters = Parameters(node)
        return self._parameters


class WPUNetSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Life of the panel: made once, follows the scene while it is shown, ends with the module."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.panel = None
        self._shown = self._looking = False

    def setup(self) -> None:
        super().setup()
        try:
            install.require_python()
        except InstallError as error:  # the panel's own code cannot be read by such a Slicer
            words = qt.QLabel(str(error))
            words.setWordWrap(True)
            self.layout.addWidget(words)
            return
        from WPUNetSegmentLib.panel import Panel

        widget = slicer.util.loadUI(self.resourcePath("UI/WPUNetSegment.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = WPUNetSegmentLogic()
        self.panel = Panel(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        _register_sample()  # a module that is added while Slicer runs sees no end of its start
        self._follow()

    def enter(self) -> None:
        self._shown = True
        self._follow()
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        self._shown = False
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        """The module is unloaded or reloaded, or Slicer ends."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.exit()
            self.panel.close()
            self.panel = None

    def onReload(self) -> None:
        """The developer's *Reload*: Slicer reloads this file alone, so what it imports of its own goes first."""
        for name in [name for name in sys.modules if name.partition(".")[0] in ("WPUNetSegmentLib", "wpunet")]:
            del sys.modules[name]
        super().onReload()

    def onSceneStartClose(self, caller: Any, event: str) -> None:
        self.panel.close()

    def onSceneEndClose(self, caller: Any, event: str) -> None:
        self._follow()

    def onSceneEndImport(self, caller: Any, event: str) -> None:
        """Only now is there what a saved scene's parameters refer to; the wrapper keeps what it read before."""
        self.logic.getParameterNode().Modified()
        self._follow()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(self, caller: Any, event: str, node: Any) -> None:
        """The first CT that is loaded while the panel is shown is chosen, once it is there with its image."""
        if self._shown and not self._looking and node.IsA("vtkMRMLScalarVolumeNode"):
            self._looking = True
            qt.QTimer.singleShot(0, self._look)

    def _look(self) -> None:
        """A scene that is being loaded lets timers run, and may name its own CT: its end is waited for."""
        if slicer.mrmlScene.IsBatchProcessing():
            qt.QTimer.singleShot(LOOK_AGAIN_MS, self._look)
            return
        self._looking = False
        self._follow()

    def _follow(self) -> None:
        """Use the scene's parameters; without a CT chosen take the first one."""
        from WPUNetSegmentLib.handover import is_ct

        if self.panel is None:
            return
        parameters = self.logic.getParameterNode()
        if parameters.ct is None:
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            parameters.ct = next((one for one in volumes if is_ct(one)), None)
        self.panel.use(parameters)


class WPUNetSegmentTest(self_test.SelfTest):
    """What a user can run in Slicer, by Reload and Test."""
