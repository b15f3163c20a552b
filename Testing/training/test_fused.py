"""The fused kernels: as near to float32 as PyTorch's own bfloat16, exactly repeatable, and only where they fit."""

import copy
import ctypes
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from wpunet.bundle import NetworkSpec
from wpunet.errors import InputError
from wpunet.network import Block, SeparableConv, WPUNet

from training import checkpoint, fused, train
from training.config import Config
from training.fused import build, layers
from training.networks import channels_last

from .conftest import same
from .test_train import CHILD, KILLED, start

SPEC = NetworkSpec((32, 64, 32, 96, 64), classes=4, norms=2)
FUSED = {"widths": [32, 32, 32, 32, 64], "norms": 2, "batch": 8, "size": 32, "pixel_mm": 8.0, "dropout": 0.3}


@pytest.fixture
def kernels():
    if why := build.missing():
        pytest.skip(f"no fused kernels: {why}")


def bf16(*shape):
    return torch.randn(*shape).bfloat16().contiguous(memory_format=torch.channels_last)


def error(a, b):
    """The difference of a from b, relative to b."""
    return float((a.detach().float() - b.detach().float()).norm() / b.detach().float().norm())


def gradients(function, inputs, g, parameters):
    """What a function makes of the inputs, and the gradients of inputs and parameters when its own is g."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    y = function(*inputs)
    found = torch.autograd.grad(y, [*inputs, *parameters], g.to(y.dtype))
    return [y.detach(), *found]


def hold(layer, by_kernels, by_torch, inputs, g, floor=4e-3):
    """By kernels no further from float32 than 1.5 times PyTorch's bfloat16, in what comes out and every gradient.

    The floor: bfloat16 keeps 8 bits, so that rounding once moves by up to 4e-3.
    """
    exact = copy.deepcopy(layer)
    for module in exact.modules():  # weights as both see them
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            module.weight.data = module.weight.data.bfloat16().float()
    ordinary = channels_last(copy.deepcopy(layer))
    ours = gradients(lambda *x: by_kernels(layer, *x), inputs, g, layer.parameters())
    truth = gradients(lambda *x: by_torch(exact, *x), [x.float() for x in inputs], g, exact.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        usual = gradients(lambda *x: by_torch(ordinary, *x), inputs, g, ordinary.parameters())
    names = ["out", *(f"input {k}" for k in range(len(inputs))), *(name for name, _ in layer.named_parameters())]
    for name, a, b, c in zip(names, ours, truth, usual, strict=True):
        assert a.shape == b.shape
        if isinstance(layer, Block) and name.endswith("pointwise.bias"):  # normalised away: rounding alone is left
            assert not a.any()
            assert b.abs().max() < 1e-3 * truth[-1].abs().max()
        else:
            assert error(a, b) <= max(1.5 * error(c, b), floor), name
    buffers = zip(*(one.named_buffers() for one in (layer, exact, ordinary)), strict=True)
    for (name, a), (_, b), (_, c) in buffers:
        assert error(a, b) <= max(1.5 * error(c, b), 1e-3), name


SHAPES = ((32, 32, 16, 24), (64, 32, 4, 160), (96, 64, 2, 2), (128, 96, 10, 20))


@pytest.mark.parametrize(("i", "o", "h", "w"), SHAPES)
def test_separable_convolution(i, o, h, w, kernels):
    torch.manual_seed(1)
    hold(SeparableConv(i, o), layers.separable, lambda layer, x: layer(x), [bf16(8, i, h, w)], bf16(8, o, h, w))


@pytest.mark.parametrize(("i", "o", "h", "w"), [(64, 32, 16, 24), (32, 64, 5, 8), (96, 32, 1, 1), (64, 32, 2, 80)])
def test_separable_convolution_of_what_is_made_larger(i, o, h, w, kernels):
    def larger(layer, x):
        return layer(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))

    torch.manual_seed(2)
    x, g = bf16(8, i, h, w), bf16(8, o, 2 * h, 2 * w)
    hold(SeparableConv(i, o), layers.upsampled_separable, larger, [x], g)


@pytest.mark.parametrize("shut", [False, True], ids=["open", "half shut"])
@pytest.mark.parametrize(("i", "j", "o", "h", "w"), [(32, 0, 64, 16, 24), (32, 64, 32, 8, 20), (128, 0, 96, 2, 2)])
def test_block(i, j, o, h, w, shut, kernels):
    torch.manual_seed(3)
    layer = Block(i + j, o, 2)
    for norm in (layer.first_norm, layer.second_norm):
        nn.init.uniform_(norm.weight, 0.5, 1)
        nn.init.normal_(norm.bias, 0 if shut else 5, 0.3)
    inputs = [bf16(8, c, h, w) + 2 * bf16(1, c, 1, 1) for c in (i, j) if c]  # with means of their own
    hold(layer, layers.block, lambda layer, *x: layer(torch.cat(x, 1)), inputs, bf16(8, o, h, w), floor=1e-2)


def test_pooling_is_exact(kernels):
    torch.manual_seed(4)
    x, g, g_skip = F.relu(bf16(8, 64, 16, 24)), bf16(8, 64, 8, 12), bf16(8, 64, 16, 24)
    a, b = x.clone().requires_grad_(), x.float().requires_grad_()
    y, skip = layers.pool(a)
    torch.autograd.backward([y, skip], [g, g_skip])
    z = F.max_pool2d(b, 2)
    torch.autograd.backward([z, b * 1.0], [g.float(), g_skip.float()])
    assert torch.equal(y.float(), z)
    assert torch.equal(skip, x)
    assert torch.equal(a.grad, b.grad.bfloat16())


def test_first_and_last_layer(kernels):
    torch.manual_seed(5)
    x, g = torch.randn(8, 1, 16, 48), bf16(8, 64, 16, 48)
    hold(nn.Conv2d(1, 64, 3, padding=1), lambda m: layers.stem(m, x), lambda m: F.relu(m(x)), [], g)
    for classes in (2, 3, 4, 5):
        g = torch.randn(8, classes, 16, 48)
        hold(nn.Conv2d(96, classes, 1), layers.head, lambda m, t: m(t), [bf16(8, 96, 16, 48)], g)


def network(ours, spec=SPEC, dropout=0.0):
    torch.manual_seed(6)
    made = channels_last(WPUNet(spec, dropout))
    return (fused.fuse(made) if ours else made).train()


def picture(h=64, w=32):
    """Slices that are smooth, as CT is, and labels that can be learned from them."""
    x = F.avg_pool2d(torch.randn(8, 1, h + 8, w + 8, generator=torch.Generator().manual_seed(7)), 9, 1) * 5
    return x, (x[:, 0] > 0.3).long() + (x[:, 0] > 0.8).long()


def one_pass(net, x, labels, mixed=True):
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        logits = net(x.to(memory_format=torch.channels_last))
    loss = F.cross_entropy(logits.float(), labels)
    loss.backward()
    return logits.detach(), loss.detach()


def test_the_whole_network_is_as_near_to_float32_as_ordinary_bfloat16(kernels):
    nets = {"exact": network(False), "usual": network(False), "ours": network(True)}
    results = {name: one_pass(net, *picture(), mixed=name != "exact") for name, net in nets.items()}
    assert results["ours"][0].dtype == torch.float32  # told apart from PyTorch's by it
    assert results["usual"][0].dtype == torch.bfloat16
    away = {name: error(results[name][0], results["exact"][0]) for name in ("ours", "usual")}
    assert away["ours"] <= 1.5 * away["usual"]
    names = [name for name, _ in nets["exact"].named_parameters()]
    g = {key: {n: p.grad for n, p in net.named_parameters()} for key, net in nets.items()}
    flat = {key: torch.cat([of[n].flatten() for n in names]) for key, of in g.items()}
    assert error(flat["ours"], flat["exact"]) <= 1.5 * error(flat["usual"], flat["exact"])
    for name in names:
        if "pointwise.bias" in name and not name.startswith("up"):
            continue  # see hold
        ours, usual = (error(g[key][name], g["exact"][name]) for key in ("ours", "usual"))
        assert ours <= 1.5 * usual + 4e-3, name
    buffers = zip(*(net.named_buffers() for net in nets.values()), strict=True)
    for (name, exact), (_, usual), (_, ours) in buffers:
        assert error(ours, exact) <= 1.5 * error(usual, exact) + 1e-3, name


def test_the_same_twice_bit_for_bit(kernels):
    ends = []
    for _ in range(2):
        net = network(True, dropout=0.3)
        optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
        for step in range(4):
            torch.manual_seed(step)
            _, loss = one_pass(net, *picture())
            optimizer.step()
        ends.append(net.state_dict() | {"loss": loss})
    assert same(*ends)
    assert not torch.equal(ends[0]["stem.weight"], network(True).stem.weight)


def test_names_and_evaluation_are_the_networks_own(kernels):
    ours, usual = network(True), network(False)
    one_pass(ours, *picture())
    assert list(ours.state_dict()) == list(usual.state_dict())
    usual.load_state_dict(ours.state_dict())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for x in (picture()[0], picture(16, 48)[0][:1]):
            assert torch.equal(ours.eval()(x), usual.eval()(x))


@pytest.mark.parametrize("at", ["pixel", "negative pixel", "infinite pixel", "weight", "statistics' weight"])
def test_what_is_not_a_number_makes_the_loss_so(at, kernels):
    net, (x, labels) = network(True), picture()
    with torch.no_grad():
        if "pixel" in at:
            bad = torch.tensor(float("inf" if "inf" in at else "nan"))
            x[3, 0, 5, 5] = -bad if "negative" in at else bad
        else:
            layer = net.encoder[2].first.pointwise if at == "weight" else net.encoder[1].second_norm
            layer.weight[0] = torch.nan
    assert one_pass(net, x, labels)[1].isnan()


def hooked(net):
    net.up[0].pointwise.register_forward_hook(lambda *_: None)


ORDINARY = {
    "float32": {"mixed": False},
    "a size that does not fit": {"size": (16, 48)},
    "one normalisation that is not trained": {"change": lambda net: net.decoder[1].first_norm.eval()},
    "a layer that is watched": {"change": hooked},
    "a weight that is frozen": {"change": lambda net: net.head.bias.requires_grad_(False)},
    "another momentum": {"change": lambda net: setattr(net.encoder[0].first_norm, "momentum", None)},
    "widths": {"spec": NetworkSpec((32, 48, 32, 32, 32), norms=2)},
    "norms": {"spec": NetworkSpec((32, 32, 32, 32, 32), norms=1)},
    "classes": {"spec": NetworkSpec((32, 32, 32, 32, 32), norms=2, classes=6)},
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_where_they_do_not_fit_pytorch_computes(kind):
    case = {"mixed": True, "size": (64, 32), "change": lambda net: None, "spec": SPEC} | ORDINARY[kind]
    x, labels = picture(*case["size"])
    results = []
    for ours in (True, False):
        net = network(ours, case["spec"])
        case["change"](net)
        results.append([*one_pass(net, x, labels, case["mixed"]), *(p.grad for p in net.parameters()), *net.buffers()])
    for a, b in zip(*results, strict=True):
        assert a is b or torch.equal(a, b)


def test_another_network_is_left_alone():
    layer = nn.Conv2d(1, 1, 1)
    assert type(fused.fuse(layer)) is nn.Conv2d


# ---------------------------------------------------------------- where they can be had


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """As in a new process, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for function in (build.library, build.missing):
        function.cache_clear()
    yield tmp_path
    for function in (build.library, build.missing):
        function.cache_clear()


def test_another_processor_is_told(fresh, monkeypatch):
    (fresh / "cpuinfo").write_text("flags : fpu avx2 avx512f avx512bw avx512vl avx512_bf16\n")
    monkeypatch.setattr(build, "CPU", fresh / "cpuinfo")
    assert "they need Linux on a processor with AMX" in fused.why_not(SPEC, 8, 64, 64)
    monkeypatch.setattr(sys, "platform", "darwin")
    build.missing.cache_clear()
    assert "they need Linux" in build.missing()
    assert not (fresh / "cache").exists()


@pytest.fixture
def able(fresh, monkeypatch):
    """A processor that has what they need, whatever this one has."""
    (fresh / "cpuinfo").write_text(" ".join(build.NEEDED))
    monkeypatch.setattr(build, "CPU", fresh / "cpuinfo")
    return fresh


def test_no_compiler_is_told(able, monkeypatch):
    monkeypatch.setenv("PATH", str(able))
    monkeypatch.delenv("CXX", raising=False)
    assert "there is no C++ compiler" in build.missing()


def test_a_compiler_that_cannot_is_told(able, monkeypatch):
    compiler = able / "old"
    compiler.write_text("#!/bin/sh\necho \"x: error: bad value 'sapphirerapids' for '-march='\" >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert "old cannot compile them (x: error: bad value 'sapphirerapids'" in build.missing()
    assert not list((able / "cache" / "wpunet").iterdir())


def test_a_cache_that_cannot_be_written_is_told(able, monkeypatch):
    (able / "cache").write_text("a file, not a folder")
    assert "cannot be kept in or loaded from" in build.missing()


def test_several_may_compile_at_once_and_another_source_has_another_name(tmp_path, monkeypatch):
    if sys.platform != "linux" or os.system("c++ --version > /dev/null 2>&1"):
        pytest.skip("there is no C++ compiler here")
    monkeypatch.setattr(build, "FLAGS", ("-shared", "-fPIC"))
    sources, folder = tmp_path / "sources", tmp_path / "cache" / "wpunet"
    sources.mkdir()
    (sources / "a.cpp").write_text('extern "C" int answer() { return 42; }\n')
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: build.compiled(folder, sources), range(4)))
    assert [*folder.iterdir()] == [*paths]
    assert ctypes.CDLL(str(*paths)).answer() == 42
    (sources / "a.cpp").write_text('extern "C" int answer() { return 43; }\n')
    assert ctypes.CDLL(str(build.compiled(folder, sources))).answer() == 43


# ---------------------------------------------------------------- a run with them


def test_a_fused_run_that_was_killed_ends_with_the_same_weights(kernels, recipe, prepared, tmp_path, command, capsys):
    path = recipe(checkpoint_minutes=0.0, **FUSED)
    arguments = ("--config", path, "--data", prepared, "--device", "cpu")
    assert command(train, *arguments, "--run", tmp_path / "whole") == 0
    assert "Training in bfloat16, with fused kernels, on one thread.\n" in capsys.readouterr().err
    child = [sys.executable, "-c", CHILD.format(killed=KILLED["in a step"]), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child += ["--run", str(tmp_path / "killed")]
    done = subprocess.run(child, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert command(train, *arguments, "--run", tmp_path / "killed") == 0
    assert "as it was begun, with fused kernels" in capsys.readouterr().err
    for name in ("checkpoint", "average"):
        one, other = (checkpoint.load(tmp_path / run / f"{name}.safetensors")[0] for run in ("whole", "killed"))
        assert same(one, other), name


def test_a_run_goes_on_with_or_without_them_as_it_was_begun(kernels, recipe, prepared, tmp_path, monkeypatch):
    config = Config.read(recipe(**FUSED))
    begun = {name: start(replace(config, fused=name == "with"), prepared, tmp_path / name) for name in ("with", "out")}
    assert "the config says fused = false" in begun["out"].kernels
    for name, run in begun.items():
        run.begin()
        assert run.config.fused == (name == "with")
        assert json.loads((tmp_path / name / "config.json").read_text())["fused"] == (name == "with")
        assert (type(run.network) is WPUNet) == (name == "out")
    again = start(config, prepared, tmp_path / "out")
    assert not again.config.fused
    assert "this run was begun without" in again.kernels
    with pytest.raises(InputError, match=r"was begun with fused kernels, .*: the config says fused = false\. Go on"):
        start(replace(config, fused=False), prepared, tmp_path / "with")
    old = json.loads((tmp_path / "out" / "config.json").read_text())
    del old["fused"]  # a run of before there were any
    (tmp_path / "out" / "config.json").write_text(json.dumps(old))
    assert not start(config, prepared, tmp_path / "out").config.fused
    monkeypatch.setattr(build, "missing", lambda: "of the wrong processor")
    with pytest.raises(InputError, match=r"was begun with fused kernels, .*: of the wrong processor"):
        start(config, prepared, tmp_path / "with")
    assert "of the wrong processor" in start(config, prepared, tmp_path / "elsewhere").kernels


def test_a_new_run_says_why_it_does_without(recipe, prepared, tmp_path, monkeypatch):
    for changes, why in (
        ({"mixed_precision": False}, "mixed precision"),
        ({"architecture": "unet"}, "for WP-UNet"),
        ({"widths": [4, 4, 8, 8, 8]}, "widths that 32 divides"),
        ({"batch": 3}, "3 x 32 x 32 pixels"),
    ):
        config = Config.read(recipe(**FUSED | changes))
        run = start(config, prepared, tmp_path / next(iter(changes)))
        assert why in run.kernels
        assert not run.config.fused
    monkeypatch.setattr(build, "missing", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    run = start(Config.read(recipe(**FUSED)), prepared, tmp_path / "threads")
    assert "they use one thread and PyTorch 16 here" in run.kernels
    assert type(run.network) is WPUNet


def test_ordinary_training_is_pytorchs_alone(recipe, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "library", lambda: pytest.fail("the kernels were asked for"))
    monkeypatch.setattr(build, "missing", lambda: pytest.fail("the kernels were asked for"))
    run = start(Config.read(recipe(fused=False, **FUSED)), prepared, tmp_path)
    assert run.one_step() > 0
