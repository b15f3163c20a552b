"""WPUNetSegment: finds kidneys and kidney tumors in CT. The module that 3D Slicer loads, and its self-test."""

import time
import unittest
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from WPUNetSegmentLib.logic import WPUNetSegmentLogic as SceneLogic

SAMPLE = "WPUNetPhantom"
GUIDE = "https://github.com/WPUNetSegment/SlicerWPUNetSegment/blob/main/docs/slicer.md"


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
            "its weights were trained on KiTS19 (Heller et al.) and are for non-commercial use (CC BY-NC-SA 4.0)."
        )
        slicer.app.connect("startupCompleted()", _register_sample)


def _register_sample() -> None:
    """The phantom in the module Sample Data: made on this computer when it is asked for, nothing is downloaded."""
    import SampleData

    icon = Path(__file__).parent / "Resources" / "Icons" / "WPUNetPhantom.png"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="WPUNetSegment",
        sampleName=SAMPLE,
        thumbnailFileName=str(icon),
        customDownloader=lambda _source=None: [make_sample()],
    )


def make_sample() -> Any:
    """The phantom as a CT in the scene: an abdomen with two kidneys and a tumor of 30 mm."""
    from WPUNetSegmentLib.sample import add_phantom

    return add_phantom(SAMPLE)


class WPUNetSegmentLogic(SceneLogic, ScriptedLoadableModuleLogic):
    """The logic for scripts (see WPUNetSegmentLib/logic.py) with the parameters in the scene."""

    def __init__(self, start_engine: Any = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        SceneLogic.__init__(self, start_engine)

    def getParameterNode(self) -> Any:
        from WPUNetSegmentLib.parameters import Parameters

        return Parameters(super().getParameterNode())


class WPUNetSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Life of the panel: made once, follows the scene while it is shown, ends with the module."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.panel = None

    def setup(self) -> None:
        from WPUNetSegmentLib.panel import Panel

        super().setup()
        widget = slicer.util.loadUI(self.resourcePath("UI/WPUNetSegment.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = WPUNetSegmentLogic()
        self.panel = Panel(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        self._follow()

    def enter(self) -> None:
        self._follow()
        self.panel.enter()

    def exit(self) -> None:
        self.panel.exit()

    def cleanup(self) -> None:
        """The module is unloaded or reloaded, or Slicer ends."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.exit()
            self.panel.close()
            self.panel = None

    def onSceneStartClose(self, caller: Any, event: str) -> None:
        self.panel.close()

    def onSceneEndClose(self, caller: Any, event: str) -> None:
        self._follow()

    def onNodeAdded(self, caller: Any, event: str) -> None:
        """The first CT that is loaded is chosen, once it is there with its image."""
        parameters = self.panel.parameters
        if parameters is not None and parameters.ct is None:
            qt.QTimer.singleShot(0, self._follow)

    def _follow(self) -> None:
        """Use the scene's parameters; without a CT chosen take the first one."""
        if self.panel is None:
            return
        parameters = self.logic.getParameterNode()
        if parameters.ct is None:
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            parameters.ct = next((one for one in volumes if one.GetClassName() == "vtkMRMLScalarVolumeNode"), None)
        self.panel.use(parameters)


class WPUNetSegmentTest(ScriptedLoadableModuleTest):
    """What a user can run in Slicer, by Reload and Test: the sample, once by script and once through the panel.

    Where what the engine needs is not installed the tests are skipped, not passed.
    """

    SECONDS = 300.0

    def setUp(self) -> None:
        from WPUNetSegmentLib import install

        lacking = install.missing()
        if lacking:
            self.skipTest(f"Skipped, nothing was tested: press Segment once to install {', '.join(lacking.packages)}.")
        slicer.mrmlScene.Clear()

    def runTest(self, **_: Any) -> None:
        tests = unittest.defaultTestLoader.loadTestsFromTestCase(type(self))
        result = unittest.TextTestRunner(verbosity=2).run(tests)
        if result.skipped:
            raise unittest.SkipTest(result.skipped[0][1])
        if not result.wasSuccessful():
            raise AssertionError("\n".join(text for _test, text in (*result.failures, *result.errors)))

    def test_script(self) -> None:
        self.check(WPUNetSegmentLogic().process(make_sample()))

    def test_panel(self) -> None:
        from WPUNetSegmentLib import messages

        panel = slicer.util.getModuleWidget("WPUNetSegment").panel
        before = messages.acknowledged()
        messages.acknowledge()
        try:
            panel.parameters.ct, panel.parameters.segmentation = make_sample(), None
            panel.ui.segmentButton.click()
            end = time.monotonic() + self.SECONDS
            while panel.run is not None and time.monotonic() < end:
                slicer.app.processEvents()
        finally:
            messages.acknowledge(before)
        self.assertIsNone(panel.run, "the run did not end in time")
        self.check(panel.parameters.segmentation)
        self.assertGreater(panel.ui.resultsTable.rowCount, 2)

    def check(self, segmentation: Any) -> None:
        """The phantom has two kidneys of 100 to 250 ml and a tumor of 30 mm, 14 ml."""
        from WPUNetSegmentLib.measurement import measure_segments

        ct = slicer.util.getNode(f"{SAMPLE}*")
        found = measure_segments(ct, segmentation)
        self.assertEqual([one.side for one in found if one.kind == "kidney"], ["right", "left"])
        self.assertTrue(all(80 < one.volume_ml < 300 for one in found if one.kind == "kidney"), found)
        self.assertTrue(any(one.kind == "tumor" for one in found), found)
