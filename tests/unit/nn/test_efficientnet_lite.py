"""The stages of EfficientNet-Lite0 against timm's network with the published weights."""

from __future__ import annotations

import pytest
import timm
import torch

from cvqa_models.nn.efficientnet_lite import EfficientNetLiteStages
from cvqa_models.weights.exact import first_keys_in_order, load_exact
from cvqa_models.weights.files import resolve
from cvqa_models.weights.reading import read

NAME = "tf_efficientnet_lite0.in1k"


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("size", [(64, 96), (65, 50)])
def test_each_stage_has_the_means_and_deviations_of_timms(size: tuple[int, int], train: bool) -> None:
    net = EfficientNetLiteStages().train(train)  # statistics of a batch of encodes mean nothing
    load_exact(net, NAME, rename=first_keys_in_order(NAME, net))
    theirs = timm.create_model("tf_efficientnet_lite0").eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), read(resolve(NAME)).values(), strict=True)))
    x = torch.randint(0, 256, (2, 3, 3, 2, *size), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = net(x)
        y = theirs.bn1(theirs.conv_stem(x[:, :, :, 0].flatten(0, 1) / 127.5 - 1))
        expected = []
        for block in (torch.nn.Identity(), *theirs.blocks[:5]):
            y = block(y)
            whole = y.view(2, 3, y.shape[1], -1).transpose(1, 2).flatten(2)
            expected += [whole.mean(2), whole.std(2, correction=0)]
    assert found.shape == (2, net.dim)
    assert torch.allclose(found, torch.cat(expected, 1), atol=2e-3, rtol=1e-3)
