"""VSFA: the published head's names, and what the score may depend on."""

from __future__ import annotations

import pytest
import torch

from cvqa_models.branches.resnet50_stats import ResNet50Stats
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.vsfa import Vsfa, head_key


def make_model(weights: str | None = None) -> Vsfa:
    torch.manual_seed(0)
    return Vsfa(ResNet50Stats(name="test_resnet", num_clips=2), GroupLoss(), weights=weights).eval()


def test_names_of_the_published_head() -> None:
    assert head_key("ann.fc0.weight") == "reduce.weight"
    assert head_key("rnn.bias_hh_l0") == "gru.bias_hh_l0"
    assert head_key("q.bias") == "quality.bias"
    assert head_key("ann.fc.weight") is None


def test_a_score_depends_on_its_own_video_alone_and_on_the_order_of_frames() -> None:
    model = make_model()
    tokens = torch.randn(3, 9, model.branches["content"].dim)
    scores = model.score({"content": tokens})
    alone = torch.cat([model.score({"content": video}) for video in tokens.split(1)])
    torch.testing.assert_close(scores, alone)
    assert not torch.allclose(scores, model.score({"content": tokens.flip(1)}))


def test_the_pull_of_a_place_is_what_the_score_loses_without_it() -> None:
    model = make_model()
    content = model.branches["content"]
    assert isinstance(content, ResNet50Stats)
    frame = torch.randint(0, 256, (3, 1, 96, 128), dtype=torch.uint8)
    with torch.inference_mode():
        pull = model.pull_of_places(frame)
        maps = content.net(content.normalise(frame)[None].squeeze(2))[0].flatten(1)
        assert pull.shape == (3, 4)
        kept = [maps[:, [other for other in range(12) if other != place]] for place in range(12)]
        tokens = [torch.cat([some.mean(1), some.std(1)])[None, None] for some in (maps, *kept)]
        whole, *without = (model.score({"content": token}).item() for token in tokens)
    assert pull.flatten().tolist() == pytest.approx([whole - one for one in without], abs=1e-6)
    assert pull.std() > 1e-4, "so much that the numbers above tell something"


def test_only_its_own_branch_tells_of_places() -> None:
    class Other(ResNet50Stats.__base__):  # type: ignore[misc, name-defined]
        def tokens(self, x: torch.Tensor) -> torch.Tensor:
            return x

    model = Vsfa(Other(None, 8))
    with pytest.raises(ValueError, match="`content` is Other, and only ResNet50Stats tells of places"):
        model.pull_of_places(torch.zeros(3, 1, 96, 96, dtype=torch.uint8))


def test_a_head_of_other_sizes_is_refused(tmp_path) -> None:
    other = {"ann.fc0.weight": torch.zeros(7, 5), "extra.weight": torch.zeros(1)}
    torch.save(other, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"keys .*missing \(reduce\.bias.* unexpected \(extra\.weight"):
        make_model(str(tmp_path / "other.pt"))
