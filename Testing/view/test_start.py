"""What a page costs before it has a CT: what is loaded, and how much memory that takes."""

import subprocess
import sys

from Testing.view.conftest import require_parts
from Testing.view.timing import memory_mb
from Testing.view.visitor import until

MOST_MB = 300  # of a page without a CT
HEAVY = {"scipy", "SimpleITK", "vtkmodules.all", "openvino", "torch"}


def in_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_page_without_a_ct_takes_little_memory(call, quick):
    visitor = call()
    (session,) = until(lambda: quick.children("wpunet_view.session")[-1:], "its process")
    visitor.rest()
    assert 100 < memory_mb(session) < MOST_MB


def test_what_an_open_ct_needs_is_loaded_then():
    require_parts(browser=False)
    code = (
        "import sys; from wpunet_view import some_of_vtk; some_of_vtk.install(); import wpunet_view.application;"
        f"print(*({HEAVY!r} & set(sys.modules)))"
    )
    assert in_python(code) == []


def test_all_names_of_vtk_are_found():
    require_parts(browser=False)
    code = (
        "from wpunet_view import some_of_vtk; some_of_vtk.install(); import sys, vtk, vtk.util.numpy_support;"
        "print(vtk.VTK_IMAGE_SLAB_MIN, 'vtkmodules.all' in sys.modules, vtk.vtkPDBReader.__name__, hasattr(vtk, 'no'))"
    )
    assert in_python(code) == ["0", "False", "vtkPDBReader", "False"]
