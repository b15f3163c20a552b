"""The network is the paper's, as DESIGN reads it, and costs what is claimed."""

import pytest
import torch
from torch import nn
from wpunet.bundle import NetworkSpec, expected_shapes
from wpunet.network import WPUNet, cost

SPECS = [
    NetworkSpec(),
    NetworkSpec((32, 64, 128, 256, 512), norms=2),
    NetworkSpec((4, 6, 8, 10, 12), classes=2, inputs=3),
    NetworkSpec((4, 6, 8, 10, 12), classes=4, parenchyma=5),
]


def test_the_paper_prunes_a_third_of_these_weights():
    assert cost(WPUNet(NetworkSpec(classes=2))).weights == 3_921_730


@pytest.mark.parametrize("spec", SPECS)
def test_logits_have_the_shape_of_the_slices(spec):
    logits = WPUNet(spec).eval()(torch.zeros(2, spec.inputs, 48, 80))
    assert logits.shape == (2, spec.classes, 48, 80)


@pytest.mark.parametrize("spec", SPECS)
def test_the_bundle_knows_every_tensor_of_the_network(spec):
    state = {k: tuple(v.shape) for k, v in WPUNet(spec).state_dict().items() if "num_batches" not in k}
    assert state == expected_shapes(spec)


def test_cost_counts_what_a_convolution_does():
    network = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, bias=False))
    network[0].weight.data[0] = 0.0
    counted = cost(network, (10, 20))
    assert (counted.weights, counted.nonzero) == (2 * 3 * 9, 2 * 2 * 9)
    assert counted.multiply_adds == 2 * 3 * 9 * 10 * 20


def test_the_network_sees_far_enough_to_tell_left_from_right():
    """A pixel depends on others more than 100 mm away: the encoder's levels are all connected."""
    network = WPUNet(NetworkSpec((2, 2, 2, 2, 2))).eval()
    for weight in network.parameters():
        weight.data.fill_(0.1)  # nothing cancels, nothing is cut off
    slices = torch.ones(1, 1, 160, 160, requires_grad=True)
    network(slices)[0, 1, 80, 80].backward()
    touched = slices.grad[0, 0].abs().sum(0).nonzero()
    assert (touched.max() - touched.min()) * 1.6 > 100


def test_the_part_for_parenchyma_leaves_the_answer_for_whole_kidneys_as_it_is():
    with_it = WPUNet(NetworkSpec((4, 6, 8, 10, 12), classes=4, parenchyma=5)).eval()
    without = WPUNet(NetworkSpec((4, 6, 8, 10, 12), classes=4)).eval()
    without.load_state_dict({name: t for name, t in with_it.state_dict().items() if "parenchyma" not in name})
    slices = torch.randn(2, 1, 32, 48)
    with torch.no_grad():
        logits, parenchyma = with_it.told(slices)
        assert torch.equal(logits, without(slices))
        assert torch.equal(logits, with_it(slices))
    assert parenchyma.shape == (2, 1, 32, 48)
