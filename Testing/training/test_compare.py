"""The comparison: equal training, costs that agree between counters, other people's networks as they are."""

import csv
import json
from functools import partialmethod

import numpy as np
import openvino as ov
import openvino_telemetry
import pytest
import torch
from wpunet.bundle import NetworkSpec
from wpunet.network import WPUNet, cost

from training import compare, log, peers
from training.config import Config
from training.data import Case
from training.networks import ARCHITECTURES, UNet
from training.timing import graph_of


@pytest.fixture(autouse=True)
def nothing_is_reported(monkeypatch):
    """OpenVINO's converter tells its makers of every use; ours must not wake it."""

    def reports(*_, **__):
        raise AssertionError("openvino_telemetry was started")

    monkeypatch.setattr(openvino_telemetry.Telemetry, "init", reports)


@pytest.mark.parametrize("network", [UNet(NetworkSpec((4, 6, 8, 10, 12))), WPUNet(NetworkSpec((4, 6, 8, 10, 12)))])
def test_the_cost_of_a_graph_is_that_of_its_network(network):
    weights, multiply_adds = peers.graph_cost(graph_of(network, torch.zeros(1, 1, 64, 64)))
    counted = cost(network, (64, 64))
    assert multiply_adds == counted.multiply_adds
    assert weights == pytest.approx(
        counted.weights, rel=0.06
    )  # a graph holds the means and variances of normalisations too


def test_costs_of_the_papers_networks():
    spec = NetworkSpec()
    counted = {name: cost(ARCHITECTURES[name](spec)) for name in ARCHITECTURES}
    assert counted["wpunet"].weights == 3_921_795
    assert counted["wpunet"].multiply_adds / 1e9 == pytest.approx(8.0, abs=0.1)
    assert counted["unet"].weights == pytest.approx(31.0e6, rel=0.01)  # the U-Net's well-known 31 million
    assert counted["unet"].multiply_adds > 5.9 * counted["wpunet"].multiply_adds
    assert all(one.nonzero <= one.weights for one in counted.values())


@pytest.mark.parametrize("transposed", [False, True])
def test_a_peer_gets_its_preprocessing(transposed):
    """A "network" that marks what is bright, and in its own orientation."""
    hu = np.full((1, 40, 60), -500.0)
    hu[0, 5:15, 20:50], hu[0, 30:35, 20:25] = 200.0, 400.0
    case = Case("case_00002", "labelled", 0.8, ((hu + 500) / 4).astype(np.uint8), np.zeros((1, 40, 60), np.uint8))
    seen = []

    def network(x):
        seen.append(x)
        return [x - 200]

    found = peers._peer_labels(network, peers.Peer("p", "p.xml", "2", transposed), case)
    assert np.array_equal(found, hu > 0)
    (x,) = seen
    assert x.shape == (1, 1, 512, 512)
    assert (x.min(), x.max()) == (0, 255)
    rows = np.flatnonzero((x[0, 0] > 200).any(1))
    assert len(rows) == (30 if transposed else 15)


def test_peers_are_measured_where_they_are(data, trained):
    folder = data.parent / "peers"
    if not folder.is_dir():
        pytest.skip(f"needs the published networks in {folder}, which are not here")
    core = ov.Core()
    published = {"openvino-kits19-basicunet": (1_978_433, 19.8), "openvino-kits19-unet44": (480_000, 9.2)}
    for peer in peers.PEERS:
        graph = core.read_model(folder / peer.file)
        graph.reshape((1, 1, 512, 512))
        weights, multiply_adds = peers.graph_cost(graph)
        said = published[peer.file.split("/")[0]]
        assert weights == pytest.approx(said[0], rel=0.02)
        assert multiply_adds / 1e9 == pytest.approx(said[1], rel=0.02)


def test_one_command_makes_the_tables(recipe, prepared, tmp_path, command, capsys, monkeypatch):
    # of its twenty trainings only that they are done matters here: a short look at each, and no curves of each
    monkeypatch.setattr(compare.Run, "look", partialmethod(compare.Run.look, at_most=8))
    monkeypatch.setattr(log, "plot_log", lambda *_: None)
    path = recipe(steps=2, size=128, batch=2, look_every=2, augment=False)
    options = ("--config", path, "--data", prepared, "--output", tmp_path, "--weights", 2000, "--slices", 2)
    assert command(compare, *options) == 0
    figures = json.loads((tmp_path / "compare.json").read_text())
    names = [row["network"] for row in figures["networks"]]
    assert names == [*compare.NAMES.values(), *(f"WP-UNet pruned by {m}" for m in ("layer", "global", "channels"))]
    by_name = {row["network"]: row for row in figures["networks"]}
    assert by_name["WP-UNet pruned by layer"]["nonzero"] == by_name["WP-UNet pruned by global"]["nonzero"] == 2000
    assert by_name["WP-UNet pruned by channels"]["weights"] <= 2000
    assert all(row["cpu_ms"] > 0 and row["file_mb"] >= 0 for row in figures["networks"])
    assert {row["trained"] for row in figures["networks"][:4]} == {"2 steps"}
    splits = {(tmp_path / name / "split.json").read_text() for name in compare.NAMES}
    assert len(splits) == 1  # the same patients for all
    with (tmp_path / "compare.csv").open(newline="") as file:
        assert [row["network"] for row in csv.DictReader(file)] == names
    text = (tmp_path / "compare.md").read_text()
    assert text.count("\n| ") == 2 + 7  # head, rule, networks
    assert "OpenVINO in" in text
    assert (tmp_path / "convergence.png").exists()
    capsys.readouterr()
    monkeypatch.setattr(compare, "METHODS", ())  # that pruning goes on is shown in test_prune
    compare.train_all(Config.read(path), prepared, tmp_path, 2000, torch.device("cpu"))
    assert capsys.readouterr().out.count(": 0 steps to train") == len(compare.NAMES)


@pytest.mark.parametrize(("size", "network"), [(64, "nnunet_2d needs a multiple of 64 above 64"), (144, "nnunet_2d")])
def test_a_size_that_a_network_cannot_be_trained_at_is_told_before_any_training(
    size, network, recipe, prepared, tmp_path, command, capsys
):
    path = recipe(size=size, steps=1, batch=1, look_every=1)
    options = ("--config", path, "--data", prepared, "--output", tmp_path / "out")
    assert command(compare, *options) == 2
    assert f"compare: {path}: size is {size}; {network}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_patients_held_out_nothing_is_begun(recipe, prepared, tmp_path, command, capsys):
    options = ("--config", recipe(held_out=0), "--data", prepared, "--output", tmp_path / "out")
    assert command(compare, *options) == 2
    assert "held_out is 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
