"""Slicer --no-main-window --python-script segment_in_slicer.py ct.nii.gz kidneys.seg.nrrd"""

import sys

import slicer
from WPUNetSegmentLib import install
from WPUNetSegmentLib.logic import RunOptions, WPUNetSegmentLogic

ct_file, segmentation_file = sys.argv[1:3]
install.ensure("auto", ask=lambda question: True)  # the first time it downloads what the engine needs
logic = WPUNetSegmentLogic()
volume = slicer.util.loadVolume(ct_file)
segmentation = logic.process(volume, options=RunOptions(min_tumor_ml=0.5), progress=lambda at: print(at.text))
report = logic.report(segmentation)
for one in report["structures"]:
    size = one["length"] if one["kind"] == "kidney" else one["diameter"]
    print(f"{one['name']}: {one['volume_ml']:.1f} ml, {size['mm']:.0f} mm")
print(*(one["text"] for one in report["warnings"]), sep="\n")
slicer.util.saveNode(segmentation, segmentation_file)
slicer.util.exit()
