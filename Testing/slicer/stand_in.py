"""An engine that needs no network: it takes certain HU of the CT that was handed over for kidneys, tumor and cyst.

All but the network is the engine's own: command line, files, measurements, report.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
from scipy import ndimage
from wpunet import cli, edges, files
from wpunet.batch import plan
from wpunet.bundle import NetworkSpec, Weights
from wpunet.labels import CYST, LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR
from wpunet.measure import measure
from wpunet.report import Report
from wpunet.segment import Result
from wpunet.structure import Caution

# Around them tissue has 0 HU; tumor and cyst lie within the kidney on their side of 0: so interpolation makes no new
# structures.
HU = {RIGHT_KIDNEY: 150, TUMOR: 300, LEFT_KIDNEY: -150, CYST: -300}
UNCERTAIN_HU = 40
WEIGHTS = Weights(Path("stand-in"), NetworkSpec(), {}, 1.6, 1.0, "none", {"name": "stand-in"})


def marked(hu):
    """Labels, uint8, of an array of HU in any order of axes."""
    labels = np.zeros(hu.shape, np.uint8)
    labels[(hu > 75) & (hu <= 225)] = RIGHT_KIDNEY
    labels[hu > 225] = TUMOR
    labels[(hu < -75) & (hu >= -225)] = LEFT_KIDNEY
    labels[(hu < -225) & (hu > -450)] = CYST
    labels[ndimage.minimum_filter(hu, 3) < -450] = 0  # half air, half tissue
    return labels


class Thresholds:
    """In the place of wpunet.segment.Segmenter."""

    def segment_file(self, path, options, monitor, series):
        volume = files.read(path, series)
        labels = marked(volume.hu)
        if options.box:
            from wpunet.locate import within

            outside = np.ones(labels.shape, bool)
            outside[within(volume, options.box).box] = False
            labels[outside] = 0
        uncertainty = np.where(np.abs(volume.hu - UNCERTAIN_HU) < 10, 200, 0).astype(np.uint8)
        told = Report.of(
            volume,
            measure(labels, volume.hu, volume.affine, lambda _: 0.9, ends=edges.DataEnd(volume)),
            warnings=(Caution("run", "Made by the stand-in."),),
            notes=(),
            weights=WEIGHTS,
            runtime="thresholds",
            seconds=dict(monitor.seconds),
        )
        return Result(volume, labels, uncertainty, told)


class Process:
    """In the place of wpunet.child.EngineProcess: the work is done at once, and told at the first poll.

    ``folder`` is where it works, so that its arguments are names in there.
    """

    def __init__(self, arguments, folder):
        from wpunet.clean import CleanRules
        from wpunet.monitor import Monitor
        from wpunet.segment import Options

        self.arguments = cli.parser().parse_args(arguments)
        self.returncode, self.cancelled, self.log, self.seconds = None, False, "", 0.1
        options = Options(box=self.arguments.box, rules=CleanRules())
        here = Path.cwd()
        os.chdir(folder)
        gc.disable()  # a thread of the engine's must not take widgets away: that waits for Qt's own thread, this one
        try:
            (job,) = plan(self.arguments).jobs
            report = job.run(Thresholds(), options, Monitor()).report.to_json_dict()
        finally:
            gc.enable()
            os.chdir(here)
        self._events = [
            {"event": "progress", "stage": "predict", "done": 1, "total": 2, "fraction": 0.5},
            {"event": "result", "outputs": [], "report": report},
        ]

    def poll(self):
        self.returncode = 130 if self.cancelled else 0
        events, self._events = self._events, []
        return events

    def cancel(self):
        self.cancelled = True

    def close(self):
        self.cancel()
        self.poll()
