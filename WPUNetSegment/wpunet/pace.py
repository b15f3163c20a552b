"""How long the rest of a run takes, told from runs before on the same machine; without one there is no number."""

from __future__ import annotations

from itertools import pairwise

START, END = "start", "end"  # before the engine's first word, and after its last stage
TOLD_FROM = 0.25  # of a run: what is told before would be a guess


class Pace:
    """Learns from each run how long its stages take, for as long as the program runs."""

    def __init__(self) -> None:
        self._per_voxel: dict[str, float] = {}  # seconds of each stage, in the order in which they come

    def run(self, voxels: int) -> RunPace:
        """Follow a run on a CT of so many voxels."""
        return RunPace(self._per_voxel, voxels)

    def learn(self, run: RunPace, seconds: float) -> None:
        """The run has ended well, ``seconds`` after its start."""
        starts = [*run.starts.items(), (END, run.latest), ("", seconds)]
        self._per_voxel = {stage: (after - at) / run.voxels for (stage, at), (_, after) in pairwise(starts)}


class RunPace:
    """One run as it goes on."""

    def __init__(self, before: dict[str, float], voxels: int) -> None:
        self.voxels = voxels
        self.starts: dict[str, float] = {START: 0.0}  # seconds after the run's start
        self.latest = 0.0
        self._expected = {stage: one * voxels for stage, one in before.items()}
        self._left: tuple[float, float] | None = None  # seconds that were left, and when

    def heard(self, stage: str, done: int, total: int, seconds: float) -> None:
        """The engine is at a stage, ``seconds`` after the start."""
        self.starts.setdefault(stage, seconds)
        self.latest = seconds
        if stage not in self._expected:
            return
        names = list(self._expected)
        before = sum(self._expected[name] for name in names[: names.index(stage)])
        behind = before + self._expected[stage] * done / max(total, 1)
        whole = sum(self._expected.values())
        if behind >= TOLD_FROM * whole:  # slower or faster than the last one: the rest will be so, too
            self._left = (whole - behind) * seconds / behind, seconds

    def left(self, seconds: float) -> float | None:
        """Seconds that the rest takes, ``seconds`` after the start; None where that is not known."""
        if self._left is None:
            return None
        left, at = self._left
        return max(0.0, left - (seconds - at))
