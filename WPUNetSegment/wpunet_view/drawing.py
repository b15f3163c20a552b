"""When which view is drawn, how finely, and how its picture reaches the browser.

All views share one processor, so one painter draws them one after the other: the view in hand first, always as it is
now, never a picture that is overtaken. While the hand moves pictures are coarser; the full ones follow at rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any

import numpy as np
from slicer import vtkMRMLLayerDisplayableManager
from trame_rca.encoders import RcaImageEncoder
from trame_rca.view_adapter import RcaViewAdapter
from trame_slicer.rca_view.rca_view_factory import RcaWindow
from trame_slicer.views import ScheduledRenderStrategy, ThreeDView
from vtkmodules.util.numpy_support import vtk_to_numpy

MOVING_QUALITY, RESTING_QUALITY = 50, 92  # of JPEG
REST_SECONDS = 0.12  # without a movement, before the full pictures are drawn
OTHERS_SECONDS = 0.15  # views that only follow the hand are drawn no more often than this
SLOW_SECONDS = 0.045  # a view that takes longer is drawn at half its width and height while the hand moves
SEEN_SECONDS = 1.0  # a browser that has not shown a picture after this (a hidden tab) is not waited for any longer
SMOOTH_SAMPLES = 8  # a pixel, in 3D at rest; the views of slices do without: it takes four times as long
KIDNEYS_WIDE = 4 / 3  # of what is seen in 3D: both kidneys are wider than high
MOVES = ("MouseMove", "ButtonPress", "ButtonRelease", "Pinch", "Pan", "Rotate")


class Picture:
    """One view's picture: trame's render scheduler, whose turns the painter gives.

    moving: whether what was sent last was a coarse one
    """

    def __init__(self, painter: Painter, window: Window, smooth: bool) -> None:
        self._painter, self._window, self._smooth = painter, window, smooth
        self._push: Callable[[bytes, dict], None] | None = None
        self.adapter: Adapter | None = None
        self.target_fps = 30.0  # trame sets it; the painter has its own rules
        self.name = ""
        self.stale, self.moving = True, False
        self.drawn_at = self.sent_at = 0.0
        self.sent: set[int] = set()
        self._seconds = 0.0
        self._shown: tuple[np.ndarray, int] | None = None
        self._samples = -1
        painter.pictures.append(self)

    # What trame asks of a scheduler

    @property
    def rca(self) -> Window:
        return self._window

    def set_push_callback(self, callback: Callable[[bytes, dict], None]) -> None:
        self._push = callback

    def schedule_render(self) -> None:
        self.stale = True
        self._painter.wake()

    def reset(self) -> None:
        """Forget what the browser shows: it is another one, or the view has another size."""
        self._shown = None
        self.sent.clear()
        self.schedule_render()

    async def close(self) -> None:
        self._painter.pictures.remove(self)

    # The painter's side

    @property
    def waits(self) -> bool:
        """Whether the browser has yet to show what it was sent."""
        return bool(self.sent) and monotonic() - self.sent_at < SEEN_SECONDS

    @property
    def half(self) -> bool:
        return self.adapter is not None and self.adapter.scale < 1

    def take_up(self) -> None:
        """The hand begins to move this view: a slow one gets smaller before the hand's first place is read."""
        if self._seconds > SLOW_SECONDS and self.adapter is not None and not self._painter.exact:
            self.adapter.scale = 0.5

    def lay_down(self) -> None:
        if self.adapter is not None:
            self.adapter.scale = 1

    async def draw(self, moving: bool) -> None:
        """Draw, and send what the browser does not show yet."""
        self.stale = False
        began = monotonic()
        samples = SMOOTH_SAMPLES if self._smooth and not moving else 0
        if samples != self._samples:
            self._window.render_window_of_view.SetMultiSamples(samples)
            self._samples = samples
        pixels = self._window.pixels()
        self.drawn_at = monotonic()
        if not self.half and samples == 0:
            self._seconds = self.drawn_at - began
        quality = MOVING_QUALITY if moving else RESTING_QUALITY
        self.moving = moving
        if self._shown is not None and self._shown[1] >= quality and np.array_equal(self._shown[0], pixels):
            return
        rows, columns, _ = pixels.shape
        encoded = await asyncio.get_running_loop().run_in_executor(
            self._painter.encoders, RcaImageEncoder.TURBO_JPEG.encode, pixels, columns, rows, quality
        )
        self._shown = pixels, quality
        if self._push is not None:
            content, told, stamp = encoded
            self.sent.add(stamp)
            self.sent_at = monotonic()
            self._push(content, told)

    def seen(self, stamp: int) -> None:
        """The browser shows the picture of ``stamp``, and so none from before."""
        self.sent = {one for one in self.sent if one > stamp}
        self._painter.wake()


class Painter:
    """Gives the views their turns.

    exact: while something is corrected views keep their size, so that the brush does
    """

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.encoders = ThreadPoolExecutor(1)
        self.exact = False
        self._hand: Picture | None = None
        self._moved_at = -REST_SECONDS
        self._pressed = False
        self._woken = asyncio.Event()
        self._work = asyncio.get_running_loop().create_task(self._paint())

    def close(self) -> None:
        self._work.cancel()
        self.encoders.shutdown(wait=False)

    def wake(self) -> None:
        self._woken.set()

    def moves(self, picture: Picture, pressed: bool | None = None) -> None:
        """The hand does something in a view; pressed: whether a button is down, where that has changed."""
        if monotonic() - self._moved_at > REST_SECONDS and not self._pressed:
            picture.take_up()
        self._hand, self._moved_at = picture, monotonic()
        if pressed is not None:
            self._pressed = pressed
        self.wake()

    def seen(self, name: str, stamp: int) -> None:
        for picture in self.pictures:
            if picture.name == name:
                picture.seen(stamp)

    async def drawn(self) -> None:
        """Wait until all views are drawn as they are now, but not long: a hand may keep them moving."""
        end = monotonic() + SEEN_SECONDS
        while any(one.stale for one in self.pictures) and monotonic() < end:
            await asyncio.sleep(0.02)

    @property
    def _resting(self) -> bool:
        return monotonic() - self._moved_at >= REST_SECONDS

    async def _paint(self) -> None:
        while True:
            picture = self._next()
            if picture is not None:
                await picture.draw(moving=not self._resting)
                await asyncio.sleep(0.002)  # what the hand has done meanwhile comes first
                continue
            self._woken.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._patience())

    def _next(self) -> Picture | None:
        """Whose turn it is: the view in hand, then the one that was drawn longest ago; at rest what is coarse still."""
        now, resting = monotonic(), self._resting
        if resting and not self._pressed:
            for picture in self.pictures:
                if picture.half:
                    picture.lay_down()
        waiting = [one for one in self.pictures if (one.stale or (resting and one.moving)) and not one.waits]
        waiting.sort(key=lambda one: (one is not self._hand, one.drawn_at))
        for picture in waiting:
            if picture is self._hand or resting or now - picture.drawn_at >= OTHERS_SECONDS:
                return picture
        return None

    def _patience(self) -> float | None:
        """Seconds until something may be due without being woken; None while there is nothing to do."""
        if any(one.stale or one.moving or one.half for one in self.pictures):
            return 0.02
        return None


class Window(RcaWindow):
    """A view's window: hands events on unless the page takes them, and gives pixels."""

    def __init__(self, view: Any, state: Any, cursor: str, handle: Callable[[dict], bool]) -> None:
        super().__init__(view.render_window(), state=state, active_view_cursor=cursor)
        self._handle = handle

    @property
    def render_window_of_view(self) -> Any:
        return self._vtk_render_window

    def process_interaction_event(self, event: dict) -> None:
        if not self._handle(event):
            super().process_interaction_event(event)

    def pixels(self) -> np.ndarray:
        """What the view shows now: uint8 (row, column, 3), the top row first."""
        self._vtk_render_window.Render()
        vtkMRMLLayerDisplayableManager.RenderWindowBufferToImage(self._vtk_render_window, self.image_data)
        columns, rows, _ = self.image_data.GetDimensions()
        values = vtk_to_numpy(self.image_data.GetPointData().GetScalars())
        return values.reshape(rows, columns, -1)[::-1].copy()


class Adapter(RcaViewAdapter):
    """Tells the painter what the hand does before anything else hears of it; keeps in sight what a view shows."""

    def __init__(self, window: Window, name: str, picture: Picture, painter: Painter, view: Any) -> None:
        super().__init__(window, name, scheduler=picture, do_schedule_render_on_interaction=False)
        self._painter, self._picture, self._view = painter, picture, view
        self._wide = KIDNEYS_WIDE if isinstance(view, ThreeDView) else 1.0
        self._shape = 1.0  # width by height, as far as it counts; a view begins as a square
        picture.adapter, picture.name = self, name

    def on_interaction(self, origin: Any, event: dict) -> None:
        kind = str(event.get("type", ""))
        pressed = True if kind.endswith("Press") else False if kind.endswith("Release") else None
        if any(kind.endswith(one) for one in MOVES) and (kind != "MouseMove" or event.get("action") == "down"):
            self._painter.moves(self._picture, pressed)
        super().on_interaction(origin, event)

    def update_size(self, origin: Any, size: dict) -> None:
        if origin != "self":  # a browser that has just come, or another size: it shows nothing yet
            self._picture.reset()
        super().update_size(origin, size)
        if origin != "self":
            columns, rows, _ = self._current_size  # never 0, as those of a view that is put away
            self._keep_in_sight(columns / rows)

    def _keep_in_sight(self, shape: float) -> None:
        """The middle of a view, be it slim: Slicer keeps the height of what is seen, and would cut its sides."""
        shape = min(shape, self._wide)
        self._view.zoom(1 - self._shape / shape)
        self._shape = shape


class Turn(ScheduledRenderStrategy):
    """How a view of Slicer's core asks for its turn."""

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self._picture = picture

    def schedule_render(self) -> None:
        self._picture.schedule_render()
