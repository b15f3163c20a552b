"""A widened network answers as before, and its new channels can learn."""

import pytest
import torch
from wpunet.bundle import NetworkSpec
from wpunet.errors import InputError
from wpunet.network import WPUNet

from training.widen import widen, with_cyst

NARROW, WIDE = (4, 6, 8, 10, 12), (4, 8, 14, 10, 30)


@pytest.fixture(params=[1, 2])
def narrow(request):
    torch.manual_seed(0)
    network = WPUNet(NetworkSpec(NARROW, norms=request.param), dropout=0.0)
    for _ in range(3):  # so that the statistics are not 0 and 1
        network.train()(torch.randn(2, 1, 32, 32))
    return network.eval()


def test_the_answer_stays(narrow):
    x = torch.randn(2, 1, 48, 32)
    wide = widen(narrow, WIDE)
    assert wide.spec.widths == WIDE
    with torch.no_grad():
        assert torch.allclose(wide.eval()(x), narrow(x), atol=1e-5)
        everywhere = widen(narrow, tuple(2 * width for width in NARROW))
        assert torch.allclose(everywhere.eval()(x), narrow(x), atol=1e-5)
        assert torch.equal(widen(narrow, NARROW).eval()(x), narrow(x))


def test_the_new_channels_learn(narrow):
    wide = widen(narrow, WIDE).train()
    optimizer = torch.optim.Adam(wide.parameters(), 1e-3)
    before = {name: p.detach().clone() for name, p in wide.named_parameters()}
    for _ in range(3):  # in the first step what listens to the new channels moves, then these themselves
        optimizer.zero_grad()
        wide(torch.randn(2, 1, 32, 32)).square().mean().backward()
        optimizer.step()
    for name in ("encoder.4.second.pointwise.weight", "decoder.2.first.pointwise.weight"):
        moved = dict(wide.named_parameters())[name] - before[name]
        assert (moved.abs().flatten(1).sum(1) > 0).all(), name


def test_it_cannot_become_narrower(narrow):
    with pytest.raises(InputError, match="cannot be widened"):
        widen(narrow, (4, 6, 8, 10, 8))
    with pytest.raises(InputError, match="cannot be widened"):
        widen(narrow, (8, 8, 8, 16))


def test_the_cyst_comes_as_a_rare_kind_of_kidney(narrow):
    x = torch.randn(2, 1, 48, 32)
    more = with_cyst(narrow).eval()
    with torch.no_grad():
        before, after = narrow(x), more(x)
    assert after.shape[1] == 4
    assert torch.allclose(after[:, :3], before, atol=1e-5)
    share = (after[:, 3] - after[:, 1]).sigmoid()
    assert 0.02 < float(share.min()) <= float(share.max()) < 0.08
