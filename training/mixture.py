"""Which samples are drawn, and how far they are varied: the part of a recipe that augment.py carries out."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Mixture:
    """What is drawn and how far it is varied. Shares are probabilities.

    kidney_free, generated, tumor_free: of samples from levels without kidney, from phantoms, from CT without tumor
    healthy:     the half with the tumor replaced by the mirrored other one, where that one has a healthy kidney
    no_contrast: the contrast agent taken away; not from samples with a small tumor, which could not be seen any more
    composite:   the frame around a crop filled from a kidney-free level
    window:      shown in a narrower window, as published pictures are: darker and brighter values are cut off
    zoom, turn_degrees, shift_mm, noise_hu: how far at most
    stretch:     how much longer or shorter along one line than across it at most, as a share; bodies differ so
    bend_mm:     standard deviation of a smooth displacement, as breath and fat displace organs
    curve:       how far contrast between 40 and 300 HU is compressed or spread at most, as an exponent: the phases of
        contrast differ so; what has no contrast keeps its HU
    small_tumors: how much more often patients with tumors under 25 mm are drawn (those under 40 mm: half of that)
    cysts: of the samples of a case with cysts those at a level with one; such cases are drawn twice as often
    lesions: of labelled samples that get a synthetic tumor or cyst
    grafts: of labelled samples that get another patient's tumor
    foreign: of real samples that get a patient's tumor in soft tissue that is no kidney, as a decoy
    decoys: of real samples that get a lesion in soft tissue that is no kidney
    focus: of labelled and generated samples centred near a kidney or tumor instead of near the slice's centre: a
        sample smaller than a slice then costs less and shows as much
    """

    kidney_free: float = 0.16
    generated: float = 0.05
    tumor_free: float = 0.12
    healthy: float = 0.2
    no_contrast: float = 0.22
    composite: float = 0.4
    window: float = 0.0
    zoom: float = 1.4
    turn_degrees: float = 25.0
    shift_mm: float = 40.0
    noise_hu: float = 25.0
    stretch: float = 0.0
    bend_mm: float = 0.0
    curve: float = 0.0
    contrast_hu: float = 80.0
    small_tumors: float = 2.5
    focus: float = 0.5
    cysts: float = 0.0
    lesions: float = 0.2
    grafts: float = 0.5
    foreign: float = 0.3
    decoys: float = 0.25


# Slices as they are
PLAIN = Mixture(**{one.name: 0.0 for one in fields(Mixture)} | {"zoom": 1.0, "small_tumors": 1.0})
