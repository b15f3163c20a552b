"""OpenVINO and PyTorch run the same network; absent devices are refused; memory that runs out is survived."""

import numpy as np
import pytest
import torch
from wpunet import bundle, locate, predict, runtime
from wpunet.bundle import NetworkSpec
from wpunet.errors import DeviceError
from wpunet.monitor import Monitor

from Testing.wpunet.oracle import volume_with_ball

SPECS = [
    NetworkSpec((4, 4, 8, 8, 8), norms=2),
    NetworkSpec((8, 8, 8, 8, 8), classes=2, norms=1),
    NetworkSpec((4, 5, 6, 7, 8), inputs=3),
]


@pytest.mark.parametrize("spec", SPECS)
def test_the_graph_is_the_network(make_weights, spec, monkeypatch):
    weights = bundle.load(make_weights(spec))
    slices = np.random.default_rng(0).normal(size=(3, spec.inputs, 48, 64)).astype(np.float32)
    expected = runtime.TorchRuntime(weights)(slices)
    exact = runtime.OpenVINORuntime(weights, precision="f32")
    assert np.abs(exact(slices) - expected).max() < 1e-4 * np.abs(expected).max()
    rounded = runtime.OpenVINORuntime(weights)(slices)
    assert np.abs(rounded - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("classes", [3, 4])
def test_parenchyma_is_told_by_both_alike(make_weights, classes):
    weights = bundle.load(make_weights(NetworkSpec((4, 4, 8, 8, 8), classes=classes, parenchyma=6)))
    slices = np.random.default_rng(0).normal(size=(3, 1, 48, 64)).astype(np.float32)
    torch_runtime = runtime.TorchRuntime(weights, parenchyma=True)
    found, expected = runtime.OpenVINORuntime(weights, precision="f32", parenchyma=True)(slices), torch_runtime(slices)
    assert found.shape == (3, classes + 1, 48, 64)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.abs(expected[:, :-1] - runtime.TorchRuntime(weights)(slices)).max() < 1e-5 * np.abs(expected).max()


def test_slices_may_be_a_part_of_an_array(make_weights):
    subject = runtime.OpenVINORuntime(bundle.load(make_weights()), precision="f32")
    whole = np.random.default_rng(0).normal(size=(2, 1, 64, 96)).astype(np.float32)
    assert np.array_equal(subject(whole[..., :48, :64]), subject(whole[..., :48, :64].copy()))


def test_one_graph_serves_slices_of_every_size_in_their_order(make_weights):
    subject = runtime.OpenVINORuntime(bundle.load(make_weights()), precision="f32")
    for size in ((48, 64), (32, 32), (48, 64)):
        slices = np.random.default_rng(1).normal(size=(2 * subject.batch + 1, 1, *size)).astype(np.float32)
        together = subject(slices)
        assert np.array_equal(together[::-1], subject(slices[::-1].copy()))
        assert np.array_equal(together[3:4], subject(slices[3:4]))


def test_openvino_serves_the_cpu_without_torch(make_weights):
    assert isinstance(runtime.create(bundle.load(make_weights()), "cpu"), runtime.OpenVINORuntime)


def test_torch_serves_where_openvino_is_missing(make_weights, monkeypatch):
    real = runtime.importlib.util.find_spec
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None if name == "openvino" else real(name))
    assert isinstance(runtime.create(bundle.load(make_weights()), "cpu", threads=1), runtime.TorchRuntime)
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="pip install openvino"):
        runtime.create(bundle.load(make_weights()), "cpu")


@pytest.mark.parametrize(
    ("device", "says"),
    [
        *(("cuda:77", "not here"), ("cuda:", "not here")),
        *((name, f"Unknown device '{name}'") for name in ("", "tpu", "cpu:0", "auto:1", "mps:0")),
    ],
)
def test_devices_that_are_not_here_are_refused(make_weights, device, says):
    with pytest.raises(DeviceError, match=says):
        runtime.create(bundle.load(make_weights()), device)


class FullGPU(torch.nn.Module):
    """Stands for a network on a GPU with room for ``room`` slices."""

    def __init__(self, room):
        super().__init__()
        self.room, self.error, self.batches = room, torch.OutOfMemoryError("full"), []

    def forward(self, x):
        if len(x) > self.room:
            raise self.error
        self.batches.append(len(x))
        return x * 2


def gpu_with_room(weights, room):
    """A torch runtime that believes itself on a GPU ("meta" has no memory of its own and needs no hardware)."""
    subject = runtime.TorchRuntime(weights)
    subject._network = FullGPU(room)
    subject.batch = 16
    return subject


@pytest.mark.parametrize("threads", [0, -3])
def test_less_than_one_thread_is_refused(make_weights, threads):
    with pytest.raises(DeviceError, match=f"{threads} is no number of threads"):
        runtime.create(bundle.load(make_weights()), "cpu", threads)


def test_a_gpu_gets_batches_of_one_size(make_weights, monkeypatch):
    """For every other size its libraries would prepare themselves anew, which takes longer than the work."""
    subject = gpu_with_room(bundle.load(make_weights()), room=16)
    slices = np.arange(37 * 16 * 16, dtype=np.float32).reshape(37, 1, 16, 16)
    assert np.array_equal(subject(slices), slices * 2)
    assert subject._network.batches == [16, 16, 16]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), RuntimeError("MPS backend out of memory")])
def test_a_full_gpu_gets_smaller_batches_and_loses_nothing(make_weights, monkeypatch, error):
    subject = gpu_with_room(bundle.load(make_weights()), room=3)
    subject._network.error = error
    monkeypatch.setattr(subject, "device", torch.device("cpu"))
    monkeypatch.setattr(subject, "_make_room", lambda: setattr(subject, "batch", subject.batch // 2))
    slices = np.arange(20 * 16 * 16, dtype=np.float32).reshape(20, 1, 16, 16)
    assert np.array_equal(subject(slices), slices * 2)
    assert subject.batch == 2


def test_a_gpu_without_room_hands_over_to_the_cpu(make_weights):
    subject = gpu_with_room(bundle.load(make_weights()), room=0)
    subject.device = torch.device("meta")
    subject.batch = 4
    for _ in range(3):
        subject._make_room()
    assert subject.device.type == "cpu"
    assert "ran out of memory" in subject.warnings[0]


def test_other_errors_of_the_network_are_not_taken_for_a_full_gpu(make_weights):
    subject = gpu_with_room(bundle.load(make_weights()), room=0)
    subject._network.error = RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        subject(np.zeros((1, 1, 16, 16), np.float32))


def test_a_cpu_without_memory_says_so(make_weights):
    with pytest.raises(MemoryError):
        gpu_with_room(bundle.load(make_weights()), room=0)(np.zeros((1, 1, 16, 16), np.float32))


class OnArrays:
    """A PyTorch runtime that hides its tensors."""

    batch, put = 4, staticmethod(np.asarray)

    def __init__(self, runtime):
        self.runtime = runtime

    def __call__(self, slices):
        return self.runtime(slices)


def test_all_around_the_network_is_the_same_on_tensors_as_on_arrays(make_weights):
    """What a GPU does before and after the network it does with PyTorch's arithmetic."""
    torch_runtime = runtime.TorchRuntime(bundle.load(make_weights(NetworkSpec((4, 4, 8, 8, 8), classes=4))))
    assert isinstance(torch_runtime.put(np.zeros(3, np.int16)), torch.Tensor)
    volume = volume_with_ball((60, 80, 90), (1.0, 2.0, 2.0))
    answers = []
    for subject in (torch_runtime, OnArrays(torch_runtime)):
        region = locate.locate(volume, subject, 1.6, Monitor())
        maps = predict.predict(volume, region, subject, 1.6, 0.5, True, Monitor())
        answers.append((region, *predict.decide(maps, volume.hu.shape, Monitor())))
    (region, labels, doubt), (same_region, same_labels, same_doubt) = answers
    assert region == same_region
    assert (labels > 0).any()
    assert np.count_nonzero(labels != same_labels) <= 1e-4 * labels.size
    assert np.abs(doubt.astype(int) - same_doubt).max() <= 2
