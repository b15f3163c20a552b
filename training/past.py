"""What weights tell of how they came to be: of the run that made them, and of the bundle that it went on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training import checkpoint
from training.networks import steps_in_all


def lies_in_run(weights: Path) -> bool:
    """Whether weights lie in a run's folder, so that what lies beside them is that run's, too."""
    return weights.with_name("config.json").exists()


def steps_of(weights: Path) -> int:
    """How many steps weights were trained for, as far as they or their card tell."""
    told = steps_in_all(checkpoint.facts(weights)) or card_of(weights).get("steps")
    return told if isinstance(told, int) else 0


def begun_with(weights: Path) -> str | None:
    """The bundle that these are, or that their run went on from, in words; None where none is told."""
    facts = checkpoint.facts(weights)
    if "step" in facts or lies_in_run(weights):
        return facts.get("begun_with")
    card = card_of(weights)
    named = " ".join(str(card[key]) for key in ("name", "version") if key in card) or weights.name
    return f"{named} ({card.get('trained_on', 'nobody tells on whom it was trained')})"


def card_of(weights: Path) -> dict[str, Any]:
    """The card of a bundle; empty where it has none."""
    try:
        card = json.loads(weights.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}
