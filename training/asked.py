"""What a result was asked for, kept beside it: another question in the same folder gets no old answer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from wpunet.errors import InputError

from training import checkpoint
from training.tables import write_json


def compare(asked: dict[str, Any], folder: Path) -> None:
    """Raise InputError when ``folder`` was begun for something else; what it does not tell of is not compared."""
    path = folder / "asked.json"
    try:
        before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); choose another folder.") from error
    now = json.loads(json.dumps(asked))
    changed = [name for name in before if before[name] != now.get(name)]
    if changed:
        raise InputError(f"{folder} was begun with another value of '{changed[0]}'; choose another folder.")


def keep(asked: dict[str, Any], folder: Path) -> None:
    """Write it down, before anything is done for it."""
    write_json(asked, folder / "asked.json")


def digest(weights: Path) -> str:
    """Of the numbers of a file of weights, which the same command may have written again; raises InputError."""
    try:
        tensors, _ = checkpoint.load(weights)
    except (OSError, checkpoint.SafetensorError) as error:
        raise InputError(f"{weights} holds no weights ({error}).") from error
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode() + tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
