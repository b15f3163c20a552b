"""Checkpoints: whole or not at all, and the old one stays when a new one fails."""

import pytest
import torch

from Testing.conftest import no_file_over
from training import checkpoint

from .conftest import same

TENSORS = {"a": torch.randn(30, 40), "b": torch.arange(5), "half": torch.randn(3, 4).half().t()}


def test_tensors_and_facts_survive(tmp_path):
    checkpoint.save(tmp_path / "c.safetensors", TENSORS, {"step": 7, "spec": {"widths": [1, 2]}})
    tensors, facts = checkpoint.load(tmp_path / "c.safetensors")
    assert same(tensors, TENSORS)
    (tmp_path / "plain").touch()
    assert (tmp_path / "c.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode  # others may read it, too
    assert facts == checkpoint.facts(tmp_path / "c.safetensors") == {"step": 7, "spec": {"widths": [1, 2]}}


def test_a_full_disk_keeps_the_old_one(tmp_path):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, TENSORS, {"step": 1})
    with no_file_over(2000), pytest.raises(OSError, match=r"c\.safetensors"):
        checkpoint.save(path, {"a": torch.zeros(100, 100)}, {"step": 2})
    assert same(checkpoint.load(path)[0], TENSORS)
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_what_was_loaded_does_not_hang_on_the_file(tmp_path):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"a": torch.ones(100_000)}, {})
    tensors, _ = checkpoint.load(path)
    path.write_bytes(b"cut short")
    assert tensors["a"].sum() == 100_000


def test_a_damaged_file_is_told(tmp_path):
    (tmp_path / "c.safetensors").write_bytes(b"\0" * 50)
    with pytest.raises(ValueError, match="header"):
        checkpoint.facts(tmp_path / "c.safetensors")


def test_the_memory_of_an_optimizer_survives(tmp_path):
    def descend(optimizer, parameter):
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()

    one, other = (torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0])) for _ in range(2))
    first = torch.optim.AdamW([one], 0.1)
    for _ in range(3):
        descend(first, one)
    checkpoint.save(tmp_path / "o.safetensors", checkpoint.optimizer_tensors(first), {})
    other.data.copy_(one.data)
    second = torch.optim.AdamW([other], 0.1)
    checkpoint.restore_optimizer(second, checkpoint.load(tmp_path / "o.safetensors")[0])
    for _ in range(3):
        descend(first, one)
        descend(second, other)
    assert torch.equal(one, other)
