"""The engine with the truth in the network's place, for tests of the page: on Python's path it comes to every child.

All else of ``wpunet segment`` is real: reading, checking, cleaning, sides, measures, report, progress. The folder in
WPUNET_TEST_TRUTH holds labels and uncertainty as NPY, named by the CT's shape; WPUNET_TEST_STEP is a step's seconds.

A file in the folder WPUNET_TEST_GATES that is named like one of HELD holds that function of a page's session up until
it is gone; one beside it, with " reached" after its name, tells that it does. What the file says is an error that the
function ends with.
"""

import os
import sys
from pathlib import Path

TRUTH, STEP = os.environ.get("WPUNET_TEST_TRUTH"), float(os.environ.get("WPUNET_TEST_STEP", 0.02))

GATES = os.environ.get("WPUNET_TEST_GATES")
HELD = ("wpunet.measure.measure", "wpunet.places.uncertain_places", "wpunet_view.opening.read")

if GATES and sys.orig_argv[1:3] == ["-m", "wpunet_view.session"]:
    import importlib
    import time

    def held(function, gate):
        def waits(*given, **named):
            while gate.exists():
                gate.with_name(f"{gate.name} reached").touch()
                if says := gate.read_text():
                    raise RuntimeError(says)
                time.sleep(0.02)
            return function(*given, **named)

        return waits

    for path in HELD:
        module, _, name = path.rpartition(".")
        module = importlib.import_module(module)
        setattr(module, name, held(getattr(module, name), Path(GATES) / path))

if TRUTH and sys.orig_argv[1:4] == ["-m", "wpunet", "segment"]:
    import time
    from types import SimpleNamespace

    import numpy as np
    from wpunet import bundle, certainty, locate, parenchyma, segment

    def ready(self, weights_file=None, device="auto", threads=None):
        self.weights = bundle.load(weights_file)
        self.runtime = SimpleNamespace(warnings=(), description="the truth")

    def network(self, volume, options, monitor):
        shape = "x".join(map(str, volume.hu.shape))
        for stage in ("locate", "predict", "decide"):
            with monitor.stage(stage):
                for k in range(10):
                    monitor.at(stage, k, 10)
                    time.sleep(STEP)
        labels, doubt = (np.load(Path(TRUTH) / f"{shape}_{what}.npy") for what in ("labels", "uncertainty"))
        return labels, doubt, SimpleNamespace(region=locate.whole(volume), unseen=())

    segment.Segmenter._runtime = lambda self, options: self.runtime
    parenchyma.alone = lambda labels, doubt, *_: (labels, doubt, ())  # the truth leaves the sinus out already
    parenchyma.measured = lambda whole, *_: whole
    certainty.Certain = lambda maps, chance: lambda body: 0.9
    segment.Segmenter.__init__ = ready
    segment.Segmenter._network = network
