"""3D Slicer's core in the browser: the page that ``wpunet view`` opens."""
