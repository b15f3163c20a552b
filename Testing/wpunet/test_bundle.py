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
    assert (weights.pixel_mm, weights.temperature) == (1.6, 1.0)  # which the file does not state
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
        (drop_head, r"another network \(head\.bias and 1 more do not fit\)"),
        (poison, "not finite"),
        (other_spec, "another network"),
        (no_spec, "not a WP-UNet"),
    ],
)
def test_other_weights_are_refused(make_weights, change, says):
    with pytest.raises(WeightsError, match=says):
        bundle.load(rewritten(make_weights(), change))


def written(path, kind=np.float32, **metadata):
    """Weights of a small network, all of them zero, as numbers of this kind."""
    spec = bundle.NetworkSpec(widths=(4, 4, 8, 8, 8), norms=2)
    tensors = {name: np.zeros(shape, kind) for name, shape in bundle.expected_shapes(spec).items()}
    save_file(tensors, path, metadata={"spec": json.dumps(spec.as_dict()), "pixel_mm": "1.6", **metadata})
    return path


def test_what_the_file_and_its_card_say_is_taken(tmp_path):
    path = written(tmp_path / "half.safetensors", np.float16, temperature="1.5")
    weights = bundle.load(path)
    assert weights.temperature == 1.5
    assert {tensor.dtype for tensor in weights.tensors.values()} == {np.dtype(np.float32)}
    assert weights.name == "half"
    path.with_suffix(".json").write_text('{"name": "Kidneys", "version": "2"}')
    assert bundle.load(path).name == "Kidneys 2"


@pytest.mark.parametrize("card", ["{", "5", "null", "[1]"])
def test_a_card_that_is_none_is_refused(tmp_path, card):
    path = written(tmp_path / "w.safetensors")
    path.with_suffix(".json").write_text(card)
    with pytest.raises(WeightsError, match=r"The card .*w\.json cannot be read"):
        bundle.load(path)


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot be read \(Is a directory\)"):
        bundle.load(tmp_path)


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
