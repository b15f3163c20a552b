"""Weights files: the right ones load, everything else is refused in one sentence."""

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from wpunet import bundle
from wpunet.errors import WeightsError


def test_the_bundled_weights_are_what_their_card_says():
    weights = bundle.load()
    assert weights.card["sha256"] == hashlib.sha256(bundle.BUNDLED.read_bytes()).hexdigest()
    assert bundle.BUNDLED.stat().st_size < 10_000_000


def test_weights_come_back_as_written(make_weights):
    path = make_weights()
    weights = bundle.load(path)
    assert weights.pixel_mm == 1.6
    assert weights.tensors.keys() == load_file(path).keys()


def rewritten(path, change):
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    tensors = change(load_file(path), metadata)
    save_file(tensors, path, metadata=metadata)
    return path


def drop_head(tensors, metadata):
    return {k: v for k, v in tensors.items() if not k.startswith("head")}


def poison(tensors, metadata):
    return tensors | {"stem.bias": tensors["stem.bias"] * np.nan}


def other_spec(tensors, metadata):
    metadata["spec"] = json.dumps(json.loads(metadata["spec"]) | {"widths": [8, 8, 8, 8, 8]})
    return tensors


def no_spec(tensors, metadata):
    del metadata["spec"]
    return tensors


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (drop_head, "another network"),
        (poison, "not finite"),
        (other_spec, "another network"),
        (no_spec, "not a WP-UNet"),
    ],
)
def test_other_weights_are_refused(make_weights, change, says):
    with pytest.raises(WeightsError, match=says):
        bundle.load(rewritten(make_weights(), change))


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "pickle"])
def test_damaged_files_are_refused(make_weights, damage):
    path = make_weights()
    content = path.read_bytes()
    {
        "missing": path.unlink,
        "empty": lambda: path.write_bytes(b""),
        "text": lambda: path.write_text("weights"),
        "cut": lambda: path.write_bytes(content[: len(content) // 2]),
        "pickle": lambda: path.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    }[damage]()
    with pytest.raises(WeightsError, match=path.name):
        bundle.load(path)


def test_one_flipped_bit_is_noticed(make_weights):
    path = make_weights()
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    bundle.load(path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not the one its card describes"):
        bundle.load(path)
