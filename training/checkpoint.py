"""All that a training run needs to go on as if it had never stopped, in files that hold no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from wpunet import outputs


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and JSON-able facts to a temporary file, then put it in place: the old one survives a failure."""
    temporary = path.with_name(path.name + ".partial")
    try:
        contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        save_file(contiguous, temporary, metadata={key: json.dumps(value) for key, value in facts.items()})
        temporary.chmod(outputs.usual_mode())  # the writer lets nobody else read: weights are for colleagues, too
        outputs.take_place(temporary, path)
    except SafetensorError as error:  # how its writer tells of a full disk
        raise OSError(f"{path} cannot be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file that ``save`` wrote."""
    _no_folder(path)
    with safe_open(path, "pt") as file:
        # copied: a mapped file that is cut short during a long run would end the process
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return tensors, {key: json.loads(value) for key, value in (file.metadata() or {}).items()}


def facts(path: Path) -> dict[str, Any]:
    """The facts of a file that ``save`` wrote, without its tensors; raises ValueError when it is damaged."""
    _no_folder(path)
    try:
        with safe_open(path, "pt") as file:
            return {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _no_folder(path: Path) -> None:
    """The reader of tensors would tell of a device that does not exist."""
    if path.is_dir():
        raise IsADirectoryError("this is a folder")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory as flat tensors: ``optimizer.<parameter>.<name>``."""
    return {
        f"optimizer.{number}.{name}": torch.as_tensor(value)
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
