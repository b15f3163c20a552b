"""The 3D Slicer side of WPUNetSegment, one role a file; ``logic`` is the way in for scripts."""
