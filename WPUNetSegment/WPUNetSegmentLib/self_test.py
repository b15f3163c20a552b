"""The module's self-test, for real Slicer: *Reload and Test*, ctest, the workflow of this repository."""

from __future__ import annotations

import time
import unittest
from typing import Any

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest


class SelfTest(ScriptedLoadableModuleTest):
    """The sample by its button, by script and through the panel.

    Where what the engine needs is not installed the tests are skipped, not passed.
    """

    SECONDS = 300.0

    def setUp(self) -> None:
        from . import install

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

    def test_sample(self) -> None:
        from SampleData import SampleDataLogic

        from . import sample

        (source,) = SampleDataLogic.sampleDataSourcesByCategory(sample.CATEGORY)
        (ct,) = source.customDownloader(source)  # what the button of the module Sample Data does
        self.assertEqual(ct.GetImageData().GetDimensions(), sample.SHAPE[::-1])
        for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            self.assertEqual(view.GetBackgroundVolumeID(), ct.GetID())

    def test_script(self) -> None:
        from . import sample
        from .logic import WPUNetSegmentLogic

        self.check(WPUNetSegmentLogic().process(sample.load()))

    def test_panel(self) -> None:
        from . import messages

        panel = slicer.util.getModuleWidget("WPUNetSegment").panel
        before = messages.acknowledged()
        messages.acknowledge()
        try:
            panel.parameters.ct = panel.parameters.segmentation = None
            panel.ui.sampleButton.click()
            panel.ui.segmentButton.click()
            end = time.monotonic() + self.SECONDS
            while panel.run is not None and time.monotonic() < end:
                slicer.app.processEvents()
                time.sleep(0.05)  # the processor is the engine's
        finally:
            messages.acknowledge(before)
        self.assertIsNone(panel.run, "the run did not end in time")
        self.check(panel.parameters.segmentation)
        self.assertGreater(panel.ui.resultsTable.rowCount, 2)

    def check(self, segmentation: Any) -> None:
        """The phantom has two kidneys of 100 to 250 ml and a tumor of 30 mm, 14 ml."""
        from .measurement import measure_segments
        from .scene import reference_ct

        found = measure_segments(reference_ct(segmentation), segmentation)
        self.assertEqual([one.side for one in found if one.kind == "kidney"], ["right", "left"])
        self.assertTrue(all(80 < one.volume_ml < 300 for one in found if one.kind == "kidney"), found)
        self.assertTrue(any(one.kind == "tumor" for one in found), found)
