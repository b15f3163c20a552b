"""From HU to a decision for every voxel: the network on slabs of about 1.5 mm, its logits brought to the CT's grid.

Three numbers a pixel carry the decision: the logit of "kidney, tumor or cyst" against everything else, the logit of
tumor against the other two, and that of cyst against kidney. They are interpolated before they are cut at 0, so edges
are not blocky.

The network looks at its own pixels. A body that it finds is looked at once more at wider ones, where it sees more of
what lies around: what is next to nothing there is bowel or spleen, not kidney.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from .arrays import Array, float32, library, mirrored, on_host
from .bodies import Removed
from .boxes import blank, bounding_box, grown
from .labels import CYST, KIDNEY, TUMOR
from .preprocess import InPlaneGrid, Part, resampling_matrix
from .runtime import ahead
from .volume import contiguous

if TYPE_CHECKING:
    from .monitor import Monitor
    from .runtime import Runtime
    from .volume import Region, Volume

WIDER = 1.25  # pixels of the look at a body, of the network's own; training varies sizes by more (its zoom)
SEEN_LOGIT, SEEN = -1.0, 0.1  # that look must give a tenth of a body a chance of a quarter
BODY_MM2 = 40.0  # in its largest slab; what is smaller is a speck
TOGETHER_MM = 12.0  # slabs farther apart are single pictures, each with bodies of its own
SLAB_MM = 1.6  # thinner slices are averaged to slabs of at most this: less noise, less work
TUMOR_ALONG_MM = 3.0  # how far along the body slices vote on tumor or kidney; what is one slice thick is none
RIM_LOGIT = -2.0  # a tumor's rim is where it is tumor with a chance of one in eight,
RIM_MM = 3.0  # no farther than this from its core,
CORE_MM2 = 50.0  # if that is 8 mm across: what is smaller may be noise
LOOK_MM = 6.5  # from look to look along the body, until a kidney is near
TRACE_LOGIT = -2.0  # a chance of one in eight
NOTHING_LOGIT = -3.0  # a chance of one in twenty; less, and away from what is likelier, is none
LIMIT = 30.0  # logits beyond this say no more


def foreground_logit(logits: Array) -> Array:
    """Logits (n, 3 or 4, h, w) of background, kidney, tumor, cyst -> logit (n, h, w) of anything but background."""
    return (_either(_benign_logit(logits), logits[:, 2]) - logits[:, 0]).clip(-LIMIT, LIMIT)


def tumor_logit(logits: Array) -> Array:
    """Logits (n, 3 or 4, h, w) -> logit (n, h, w) of tumor against kidney or cyst."""
    return (logits[:, 2] - _benign_logit(logits)).clip(-LIMIT, LIMIT)


def cyst_logit(logits: Array) -> Array:
    """Logits (n, 4, h, w) -> logit (n, h, w) of cyst against kidney."""
    return (logits[:, 3] - logits[:, 1]).clip(-LIMIT, LIMIT)


def parenchyma_alone(logits: Array, parenchyma: Array) -> Array:
    """Logits (n, 3 or 4, h, w), their kidney split by the logit (n, 1, h, w): what is not parenchyma is background.

    The chances of tumor and cyst stay as they are, that of kidney becomes less: so it tells where there is anything but
    background, not whether that is a lesion.
    """
    background, kidney, lesions = logits[:, :1], logits[:, 1:2], logits[:, 2:]
    none = library(parenchyma).zeros_like(parenchyma)
    rest = kidney - _either(parenchyma, none)  # the logarithm of 1 / (1 + exp(parenchyma)) is added
    tissue = kidney - _either(-parenchyma, none)
    return library(logits).concatenate([_either(background, rest), tissue, lesions], 1)


def _benign_logit(logits: Array) -> Array:
    """Logit (n, h, w) of kidney or cyst; a network of three classes does not tell them apart."""
    return _either(logits[:, 1], logits[:, 3]) if logits.shape[1] > 3 else logits[:, 1]


def _either(one: Array, other: Array) -> Array:
    """Logits of two classes -> that of both together; several times as fast as NumPy's logaddexp."""
    numbers = library(one)
    return numbers.maximum(one, other) + numbers.log(1.0 + numbers.exp(-abs(one - other)))


@dataclass(frozen=True)
class Maps:
    """What the network says of a region, on its own grid.

    foreground, tumor, cyst: logits (slab, h, w), float16; no cyst where the network does not know them
    tissue: as foreground, but of a kidney its parenchyma alone; only where that was asked for
    step: CT slices in a slab; slice_mm: from one slice to the next
    unseen: bodies that the second look took away
    """

    region: Region
    grid: InPlaneGrid
    step: int
    slice_mm: float
    foreground: np.ndarray
    tumor: np.ndarray
    cyst: np.ndarray | None = None
    tissue: np.ndarray | None = None
    unseen: tuple[Removed, ...] = ()


def predict(
    volume: Volume,
    region: Region,
    runtime: Runtime,
    pixel_mm: float,
    temperature: float,
    flips: bool,
    monitor: Monitor,
    *,
    second_look: bool = True,
    parenchyma: bool = False,
) -> Maps:
    """Run the network over the slabs of ``region``; with ``flips`` also mirrored left to right, and average.

    First over a slab every LOOK_MM, then over those beside one with a trace of kidney. The others hold nothing. Bodies
    that a ``second_look``, at wider pixels, does not see are taken away. pixel_mm: the network's own. parenchyma: the
    runtime tells it.
    """
    depth, rows, columns = region.shape
    grid = InPlaneGrid((rows, columns), volume.spacing[1:], pixel_mm, runtime.put)
    step = max(1, int(SLAB_MM / volume.spacing[0] + 1e-3))
    foreground = np.full((-(-depth // step), *grid.network_shape), -LIMIT, np.float16)
    tumor = np.zeros_like(foreground)
    cyst: np.ndarray | None = None
    tissue = np.full_like(foreground, -LIMIT) if parenchyma else None
    slabs = np.arange(len(foreground))

    def classes(told: Array) -> Array:
        return told[:, :-1] if parenchyma else told

    def network(x: Array) -> Array:
        told = runtime(x)
        seen = np.flatnonzero(_has_trace(foreground_logit(classes(told)) / temperature)) if flips else ()
        if len(seen):  # elsewhere its mirror image sees nothing either
            told[seen] = (told[seen] + mirrored(runtime(mirrored(x[seen])))) / 2
        return told

    def look(wanted: np.ndarray, done: int) -> None:
        nonlocal cyst
        batches = [wanted[first : first + runtime.batch] for first in range(0, len(wanted), runtime.batch)]
        for some, told in zip(batches, ahead(network, inputs(batches, done)), strict=True):
            logits = classes(told) / temperature
            foreground[some] = on_host(foreground_logit(logits))
            tumor[some] = on_host(tumor_logit(logits))
            if logits.shape[1] > 3:
                cyst = np.zeros_like(foreground) if cyst is None else cyst
                cyst[some] = on_host(cyst_logit(logits))
            if tissue is not None:
                tissue[some] = on_host(foreground_logit(parenchyma_alone(logits, told[:, -1:])))

    def hu_of(first: int, last: int) -> np.ndarray:
        start, stop = (region.slices.start + slab * step for slab in (first, last + 1))
        hu = contiguous(volume.hu[start : min(stop, region.slices.stop), region.rows, region.columns])
        return mean_slabs(hu, step)

    def inputs(batches: list[np.ndarray], done: int) -> Iterator[Array]:
        for some in batches:
            monitor.at("predict", done, len(slabs))
            yield grid.to_network(hu_of(some[0], some[-1])[some - some[0]])
            done += len(some)

    apart = max(1, int(LOOK_MM / (step * volume.spacing[0])))
    first = np.union1d(slabs[apart // 2 :: apart], slabs[-1:])
    look(first, 0)
    seen = first[_has_trace(foreground[first])]
    near = (np.abs(slabs[:, None] - seen) < apart).any(1)
    rest = np.setdiff1d(slabs[near], first)
    look(rest, len(slabs) - len(rest))

    wide = InPlaneGrid((rows, columns), volume.spacing[1:], pixel_mm * WIDER, runtime.put)

    def around(slab: int) -> np.ndarray:
        logits = classes(runtime(wide.to_network(hu_of(slab, slab)))) / temperature
        return on_host(wide.to_grid(foreground_logit(logits), grid))[0]

    unseen = []
    if second_look:
        together, least = step * volume.spacing[0] <= TOGETHER_MM, BODY_MM2 / pixel_mm**2
        for pixels, centre in drop_unseen(foreground, around, together=together, least=least):
            ml = pixels * step * volume.spacing[0] * pixel_mm**2 / 1000
            unseen.append(Removed(ml, _in_ct(centre, grid, region, step)))
    if tissue is not None:
        np.minimum(tissue, foreground, out=tissue)  # what was taken away is no tissue either
    return Maps(region, grid, step, volume.spacing[0], foreground, tumor, cyst, tissue, tuple(unseen))


def _in_ct(place: np.ndarray, grid: InPlaneGrid, region: Region, step: int) -> tuple[float, float, float]:
    """A place on the network's grid (slab, h, w), in the CT's voxels; both grids begin at the region's border."""
    voxels = np.array([step, *(grid.pixel_mm / mm for mm in grid.spacing)])
    slice_, row, column = (place + 0.5) * voxels - 0.5 + [side.start for side in region.box]
    return float(slice_), float(row), float(column)


def _has_trace(foreground: Array) -> np.ndarray:
    """Logit maps (n, h, w) -> (n,), whether a kidney can be anywhere in them."""
    return on_host(library(foreground).amax(foreground, (1, 2)) > TRACE_LOGIT)


def drop_unseen(
    foreground: np.ndarray, around: Callable[[int], np.ndarray], *, together: bool, least: float
) -> list[tuple[int, np.ndarray]]:
    """Take bodies of ``foreground``, logits (slab, h, w), away that another look does not see, in place.

    Returns how many pixels each had, and its centre (slab, h, w).

    around: the logits (h, w) of that look at a slab; a body is judged by its largest one
    together: whether a body goes through neighbouring slabs, or each has its own
    least: pixels of a body in its largest slab; smaller ones are left alone
    """
    neighbours = ndimage.generate_binary_structure(3, 1)
    neighbours[[0, 2]] &= together
    numbers, _ = ndimage.label(foreground > 0, neighbours)
    largest: dict[int, list[tuple[int, tuple[slice, ...]]]] = {}
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        pixels = np.count_nonzero(numbers[box] == number, axis=(1, 2))
        if pixels.max() >= least:
            largest.setdefault(box[0].start + int(pixels.argmax()), []).append((number, box))
    dropped = []
    for slab, found in largest.items():
        seen = around(slab) > SEEN_LOGIT
        for number, box in found:
            if seen[numbers[slab] == number].mean() < SEEN:
                body = numbers[box] == number
                foreground[box][body] = SEEN_LOGIT  # no kidney, and doubt enough to be looked at
                dropped.append((int(body.sum()), np.argwhere(body).mean(0) + [side.start for side in box]))
    return dropped


def mean_slabs(hu: np.ndarray, step: int) -> np.ndarray:
    """Means of every ``step`` slices (n, row, column); the last slab may hold fewer."""
    if step == 1:
        return hu
    whole = len(hu) // step
    means = np.empty((-(-len(hu) // step), *hu.shape[1:]), np.float32)
    means[:whole] = hu[: whole * step : step]
    for k in range(1, step):
        means[:whole] += hu[k : whole * step : step]
    means[:whole] /= np.float32(step)
    if whole < len(means):
        means[-1] = hu[whole * step :].mean(0, dtype=np.float32)
    return means


def decide(maps: Maps, shape: tuple[int, int, int], monitor: Monitor) -> tuple[np.ndarray, np.ndarray]:
    """The label of every voxel, and how uncertain it is.

    Returns labels (slice, row, column) uint8 and the chance that the likeliest of background, kidney (with cyst) and
    tumor is not right, as uint8 of 255, both of ``shape``; outside the region and on slices without a trace of kidney
    they are 0.
    """
    labels, doubt = blank(shape), blank(shape)
    depth = maps.region.shape[0]
    between = resampling_matrix(len(maps.foreground), float(maps.step), depth, 1.0, repeat_edge=True)
    foregrounds, weights = maps.grid.put(maps.foreground), maps.grid.put(between)
    votes = _Votes(maps, depth)
    for k in range(depth):
        if k % 16 == 0:
            monitor.at("decide", k, depth)
        slabs = _span(between[k])
        foreground = _weighed(weights[k, slabs], foregrounds[slabs])
        part = maps.grid.part(on_host(foreground > NOTHING_LOGIT))
        if part is None:
            continue
        logits = library(foreground).stack([foreground[part.network], *votes(k, part)])
        foreground, tumor, *cyst = maps.grid.to_ct(logits, part)
        rows, columns = (
            slice(whole.start + some.start, whole.start + some.stop)
            for whole, some in zip(maps.region.box[1:], part.ct, strict=True)
        )
        here = (maps.region.slices.start + k, rows, columns)
        doubt[here] = on_host(_doubt(foreground, tumor))
        foreground, tumor, *cyst = (on_host(one) for one in (foreground, tumor, *cyst))
        found = foreground > 0
        labels[here][found] = KIDNEY
        for one in cyst:
            labels[here][found & (one > 0)] = CYST
        labels[here][tumor_mask(foreground, tumor, maps.grid.spacing)] = TUMOR
    return labels, doubt


def _span(weights: np.ndarray) -> slice:
    """From the first to the last of the weights (n,) that is not 0."""
    used = np.flatnonzero(weights)
    return slice(int(used[0]), int(used[-1]) + 1)


def _weighed(weights: Array, maps: Array) -> Array:
    """Weights (n,) and maps (n, h, w) -> their weighted sum (h, w), float32."""
    return library(maps).tensordot(weights, float32(maps), 1)


def tumor_mask(foreground: np.ndarray, tumor: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Where a slice holds tumor: its core, where tumor is likelier than kidney, and the rim that touches it.

    Hysteresis, as in Canny's edges: cut at equal chance tumors come out a fifth too small, while a lower limit
    everywhere would find tumors where there is none.
    """
    mask = (foreground > 0) & (tumor > 0)
    found = bounding_box(mask[None])
    if found is None:
        return mask
    _, *sides = grown(found, RIM_MM, (1.0, *spacing), (1, *mask.shape))
    box = tuple(sides)
    numbers, count = ndimage.label(mask[box])
    mm2 = ndimage.sum_labels(mask[box], numbers, np.arange(count + 1)) * spacing[0] * spacing[1]
    core = (mm2 >= CORE_MM2)[numbers]
    if core.any():
        close = ndimage.distance_transform_edt(~core, spacing) <= RIM_MM
        rim = core | ((foreground[box] > 0) & (tumor[box] > RIM_LOGIT) & close)
        mask[box] |= ndimage.binary_propagation(core, mask=rim)
    return mask


class _Votes:
    """What the slabs say on tumor or kidney in each slice; each as sure as it is of a kidney there.

    Where a slab sees no kidney its word on tumor or kidney means nothing. Along the body the weights are a bell whose
    width is TUMOR_ALONG_MM.
    """

    def __init__(self, maps: Maps, depth: int) -> None:
        middles = (np.arange(len(maps.foreground)) + 0.5) * maps.step
        away = ((np.arange(depth) + 0.5)[:, None] - middles[None, :]) * maps.slice_mm
        weights = np.exp(-0.5 * (away / TUMOR_ALONG_MM) ** 2)
        weights[weights < 0.05 * weights.max(1, keepdims=True)] = 0.0
        self._spans = [_span(row) for row in weights]
        put = maps.grid.put
        self._weights = put(weights.astype(np.float32))
        self._sure = _chance(float32(put(maps.foreground))) + np.float32(1e-3)
        self._said = [self._sure * put(one) for one in (maps.tumor, maps.cyst) if one is not None]

    def __call__(self, k: int, part: Part) -> list[Array]:
        """The tumor and cyst logits of a slice, each (h, w) of the part."""
        slabs = self._spans[k]
        which, weights = (slabs, *part.network), self._weights[k, slabs]
        sure = _weighed(weights, self._sure[which])
        return [_weighed(weights, one[which]) / sure for one in self._said]


def _chance(logit: Array) -> Array:
    return 1.0 / (1.0 + library(logit).exp(-logit))


def _doubt(foreground: Array, tumor: Array) -> Array:
    """Two logit maps -> the chance, of 255, that the likeliest of the three classes is not the right one."""
    numbers = library(foreground)
    close = foreground > -8.0
    result = numbers.zeros_like(foreground, dtype=numbers.uint8)
    p, t = _chance(foreground[close]), _chance(tumor[close])
    likeliest = numbers.maximum(1.0 - p, p * numbers.maximum(t, 1.0 - t))
    result[close] = numbers.asarray(((1.0 - likeliest) * 255.0).round(), dtype=numbers.uint8)
    return result
