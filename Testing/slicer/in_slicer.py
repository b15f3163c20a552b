"""Runs inside the real 3D Slicer: installs what the engine needs, then the module's self-test. Exit status 0 or 1.

Slicer --no-splash --additional-module-paths WPUNetSegment --python-script Testing/slicer/in_slicer.py
"""

import sys
import traceback

import slicer


def main():
    from WPUNetSegmentLib import install

    print(f"Slicer {slicer.app.applicationVersion}, Python {sys.version.split()[0]}, {sys.platform}", flush=True)
    install.ensure("auto", ask=lambda question: print(question, flush=True) or True)
    slicer.util.selectModule("WPUNetSegment")
    from WPUNetSegment import WPUNetSegmentTest

    WPUNetSegmentTest().runTest()  # raises when a test fails, and when it is skipped
    print("The self-test passed.", flush=True)


try:
    main()
except BaseException:
    traceback.print_exc()
    slicer.util.exit(1)
else:
    slicer.util.exit(0)
