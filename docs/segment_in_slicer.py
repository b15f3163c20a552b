"""Slicer --no-main-window --python-script segment_in_slicer.py ct.nii.gz kidneys.seg.nrrd"""

import sys

import slicer
from WPUNetSegmentLib import install, logic

try:
    volume = slicer.util.loadVolume(sys.argv[1])
    install.ensure("auto", ask=lambda question: True)  # the first time it downloads what the engine needs
    runs = logic.WPUNetSegmentLogic()
    segmentation = runs.process(volume, options=logic.RunOptions(min_tumor_ml=0.5), progress=lambda at: print(at.text))
    report = runs.report(segmentation)
    for one in report["structures"]:
        print(f"{one['name']}: {one['volume_ml']:.1f} ml, {(one.get('length') or one['diameter'])['mm']:.0f} mm")
    print(*(one["text"] for one in report["warnings"]), sep="\n")
    slicer.util.exit(0 if slicer.util.saveNode(segmentation, sys.argv[2]) else 1)
except Exception as error:
    print(error, file=sys.stderr)
    slicer.util.exit(1)
