"""A view shows as much as it did, whatever room the browser gives it meanwhile."""

import pytest

from Testing.view.conftest import require_parts, waited

ROOM = 400, 300


@pytest.fixture
def axial():
    """A view of slices with its adapter."""
    require_parts(browser=False)
    from trame_server import Server
    from trame_slicer.core import SlicerApp
    from trame_slicer.views import SliceView
    from wpunet_view.drawing import Adapter, Painter, Picture, Window

    async def made():
        return Painter()  # it begins its work in a running loop

    app, painter = SlicerApp(), waited(made())
    view = SliceView(scene=app.scene, app_logic=app.app_logic, name="Axial")
    window = Window(view, Server().state, "cursor", lambda _event: False)
    adapter = Adapter(window, "Axial", Picture(painter, window, smooth=False), painter, view)
    give(adapter, ROOM)
    yield view, adapter
    painter.close()


def give(adapter, room):
    adapter.update_size("a browser", {"w": room[0], "h": room[1], "p": 1})


def field(view):
    return view.get_view_node().GetFieldOfView()[:2]


@pytest.mark.parametrize("room", [(0, 0), (0, 300), (400, 0), (1, 300), (0.4, 0.4)])
def test_a_view_that_had_no_room_shows_what_it_did(axial, room):
    """As in a tab of a notebook that is put away."""
    view, adapter = axial
    before = field(view)
    for _ in range(3):
        give(adapter, room)
        give(adapter, ROOM)
    assert field(view) == pytest.approx(before)


def test_a_zoom_stays_when_the_room_changes_and_comes_back(axial):
    view, adapter = axial
    before = field(view)
    view.zoom(0.5)
    give(adapter, (150, 300))
    view.zoom(-0.5)
    give(adapter, ROOM)
    assert field(view) == pytest.approx([0.75 * mm for mm in before])
