"""The numbers on the page are those of the segments as they are, in whatever order measurements end."""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from wpunet.label_maps import LabelMap
from wpunet.labels import KIDNEY, LEFT_KIDNEY, TUMOR
from wpunet.volume import from_array

from Testing.view.conftest import require_parts, waited


class Held:
    """Findings whose measurements end when they are let go, one by one; ``at`` counts those that have begun."""

    def __init__(self, findings):
        self.really, self.gates, self.at = findings.measured, [threading.Event() for _ in range(3)], 0
        findings.measured = self.measured

    def measured(self, *given):
        gate, self.at = self.gates[self.at], self.at + 1
        gate.wait(20)
        return self.really(*given)

    async def begun(self, count):
        while self.at < count:
            await asyncio.sleep(0.01)


@pytest.fixture
def page(made, labels):
    """What measures, its page's state, the segments as ``now``, and findings whose measurements can be held."""
    require_parts(browser=False)
    from trame_server import Server
    from trame_server.utils.typed_state import TypedState
    from wpunet_view.findings import Findings
    from wpunet_view.measuring import Measuring
    from wpunet_view.state import PageState

    server = Server()
    findings = Findings.of_file(LabelMap(labels, False, ()), "x.seg.nrrd", ())
    segments = SimpleNamespace(now=labels, reset_3d_view=lambda: None)
    segments.labels = lambda: segments.now.copy()
    tasks = []
    host = SimpleNamespace(volume=from_array(made.hu, made.affine, "x"), findings=findings)
    host.later = lambda work: tasks.append(asyncio.get_running_loop().create_task(work))
    data = TypedState(server.state, PageState).data
    measuring = Measuring(server.state, data, segments, host)
    return SimpleNamespace(
        measuring=measuring, data=data, segments=segments, tasks=tasks, held=Held(findings), host=host
    )


def test_the_table_tells_what_the_edge_of_the_scan_cuts(made, labels):
    from wpunet_view.findings import Findings, row

    middle = int(np.argwhere(labels == LEFT_KIDNEY)[:, 0].mean())
    for end, cut in ((len(labels), False), (middle, True)):
        findings = Findings.of_file(LabelMap(labels[:end], False, ()), "x.seg.nrrd", ())
        structures = findings.measured(from_array(made.hu[:end], made.affine, "x"), labels[:end]).report.structures
        (kidney,) = (row(one) for one in structures if (one.kind, one.side) == ("kidney", "left"))
        assert kidney.volume.startswith("> ") == cut


def told(page):
    return {row.name for row in page.data.rows}


def without_tumor(labels):
    changed = labels.copy()
    changed[changed == TUMOR] = KIDNEY
    return changed


def test_a_measurement_that_an_edit_has_overtaken_is_not_told(page, labels):
    async def work():
        first = asyncio.create_task(page.measuring.measure())
        await page.held.begun(1)
        page.segments.now = without_tumor(labels)
        page.measuring.edited()
        page.held.gates[0].set()
        await first
        assert page.data.measuring  # the table is not of what is there
        assert page.data.unsaved
        assert page.measuring.behind
        assert not page.data.rows
        await page.held.begun(2)
        page.held.gates[1].set()
        await asyncio.gather(*page.tasks)
        assert told(page)
        assert not any("tumor" in name for name in told(page))
        assert not page.data.measuring
        assert not page.measuring.behind
        assert page.data.corrected
        assert page.data.unsaved

    waited(work())


def test_a_measurement_that_ends_after_a_later_one_is_not_told(page, labels):
    async def work():
        page.segments.now = without_tumor(labels)
        page.measuring.edited()
        await page.held.begun(1)
        page.segments.now = labels  # undone
        page.measuring.edited()
        await page.held.begun(2)
        page.held.gates[1].set()
        await page.tasks[1]
        now = told(page)
        assert any("tumor" in name for name in now)
        page.held.gates[0].set()
        await asyncio.gather(*page.tasks)
        assert told(page) == now
        assert not page.data.corrected
        assert not page.data.unsaved
        assert not page.host.findings.corrected

    waited(work())


def test_what_is_saved_is_what_was_there_when_it_was_asked_for(page, labels):
    async def work():
        asked = asyncio.create_task(page.measuring.measure())
        await page.held.begun(1)
        page.segments.now = without_tumor(labels)
        page.measuring.edited()
        await page.held.begun(2)
        page.held.gates[1].set()
        await asyncio.gather(*page.tasks)
        page.held.gates[0].set()
        result = await asked
        assert (result.labels == labels).all()
        page.host.findings.saved(result.labels)
        assert page.host.findings.unsaved  # the later edit is in no file

    waited(work())
