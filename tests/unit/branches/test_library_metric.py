"""Measures of libraries by name. pyiqa is not installed here: a stand-in plays its part."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace

import piq
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio, visual_information_fidelity

from cvqa_models.branches.library_metric import PIQ, LibraryMetric
from cvqa_models.models.metric import Metric

# Those that are functions, see the source, and take frames of 96 pixels.
DISTANCES = ("gmsd", "multi_scale_gmsd", "mdsi")
SMALL = [n for n in PIQ if n.islower() and n not in ("brisque", "multi_scale_ssim", "information_weighted_ssim")]


def pairs() -> Tensor:
    """Return two videos of two frames beside their source, shape (2, 2, 6, 1, 96, 96)."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(30, 220, (2, 2, 3, 1, 96, 96), dtype=torch.uint8, generator=generator)
    change = torch.randint(-20, 21, source.shape, generator=generator)
    return torch.cat([(source + change).to(torch.uint8), source], dim=2)


def frame(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last frame and its source, (1, 3, H, W) in [0, 1]."""
    return x[1, 1:, :3, 0].float() / 255, x[1, 1:, 3:, 0].float() / 255


@pytest.mark.parametrize("name", SMALL)
def test_a_function_of_piq(name: str) -> None:
    x = pairs()
    branch = LibraryMetric(f"piq:{name}", num_clips=2)
    assert branch.view.with_reference
    tokens = branch.tokens(x)
    assert tokens.shape == (2, 2, 1)
    torch.testing.assert_close(
        tokens[1, 1], (-1 if name in DISTANCES else 1) * getattr(piq, name)(*frame(x), reduction="none")
    )
    equal = torch.cat([x[:, :, 3:], x[:, :, 3:]], dim=2)
    assert (branch.tokens(equal) > tokens).all()


def test_metrics_of_torchmetrics_get_the_range_that_they_expect() -> None:
    x = pairs()
    distorted, source = frame(x)
    found = LibraryMetric("torchmetrics:PeakSignalNoiseRatio").tokens(x)[1, 1, 0]
    torch.testing.assert_close(found, peak_signal_noise_ratio(distorted, source, data_range=1.0))
    found = LibraryMetric("torchmetrics:VisualInformationFidelity").tokens(x)[1, 1, 0]
    torch.testing.assert_close(found, visual_information_fidelity(255 * distorted, 255 * source))


def test_a_system_is_the_mean_over_frames() -> None:
    x = pairs()
    model = Metric("piq:psnr", num_clips=2)
    tokens = model.each_branch()["measure"].tokens(x)
    torch.testing.assert_close(model.score({"measure": tokens}), tokens.mean((1, 2)))
    with pytest.raises(ValueError, match="`Metric` has nothing to train"):
        model.configure_optimizers()


def test_weights_are_not_fetched_unless_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    look_up = socket.getaddrinfo
    with pytest.raises(
        FileNotFoundError, match=r"`piq:PieAPP` are not on .* \(they come from .*\), .* `download: true`"
    ):
        LibraryMetric("piq:PieAPP")
    late = LibraryMetric("piq:brisque")  # asks for its weights when it first sees a frame
    assert not late.view.with_reference
    with pytest.raises(FileNotFoundError, match="The weights of `piq:brisque` are not on this machine"):
        late.tokens(pairs()[:, :, :3])
    assert socket.getaddrinfo is look_up

    asked: list[object] = []

    def answer(host: object, *rest: object, **more: object) -> None:
        asked.append(host)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(OSError, match="no network in tests"):
        LibraryMetric("piq:PieAPP", download=True)
    assert asked


class FromPyiqa(nn.Module):
    """What `pyiqa.create_metric` returns, as far as it is used."""

    def __init__(self, mode: str, lower_better: bool) -> None:
        super().__init__()
        self.metric_mode = mode
        self.lower_better = lower_better
        self.net = nn.Conv2d(3, 1, 3)

    def forward(self, target: Tensor, ref: Tensor | None = None) -> Tensor:
        return (target if ref is None else target - ref).abs().mean((1, 2, 3))[:, None]


def create_metric(name: str, device: torch.device) -> FromPyiqa:
    if name == "clipiqa+":
        raise ModuleNotFoundError("No module named 'pkg_resources'")  # as under setuptools 81
    return FromPyiqa("FR" if name == "lpips" else "NR", lower_better=name == "lpips")


def test_pyiqa_serves_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(
        list_models=lambda: ["topiq_nr", "lpips", "clipiqa+"], create_metric=create_metric, __version__="0.1.16"
    )
    monkeypatch.setitem(sys.modules, "pyiqa", stand_in)
    x = pairs()
    plain, compared = LibraryMetric("pyiqa:topiq_nr"), LibraryMetric("pyiqa:lpips")
    assert (plain.view.with_reference, compared.view.with_reference) == (False, True)
    distorted, source = frame(x)
    torch.testing.assert_close(plain.tokens(x[:, :, :3])[1, 1, 0], distorted.mean())
    torch.testing.assert_close(compared.tokens(x)[1, 1, 0], -(distorted - source).abs().mean())
    # The weights are in the key of the features.
    assert plain.demand.cache_key != LibraryMetric("pyiqa:topiq_nr").demand.cache_key
    with pytest.raises(ValueError, match=r"pyiqa has no measure of frames 'topiq'; it has topiq_nr\."):
        LibraryMetric("pyiqa:topiq")
    with pytest.raises(ValueError, match=r"imported \(No module named 'pkg_resources'\); .* with 'setuptools<81'\)"):
        LibraryMetric("pyiqa:clipiqa+")


def test_what_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(
        ValueError, match=r"pyiqa cannot be imported .*`pip install pyiqa` \(for non-commercial use only"
    ):
        LibraryMetric("pyiqa:topiq_nr")
    with pytest.raises(ValueError, match="'haarpsi'; expected piq:MEASURE, torchmetrics:MEASURE, pyiqa:MEASURE"):
        LibraryMetric("haarpsi")
    with pytest.raises(ValueError, match="piq has no measure of frames 'haar'; it has haarpsi"):
        LibraryMetric("piq:haar")
    with pytest.raises(ValueError, match="torchmetrics has no measure of frames 'FrechetInceptionDistance'"):
        LibraryMetric("torchmetrics:FrechetInceptionDistance")


def test_a_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="`piq:haarpsi` is inf on a frame; it does not suit this video"):
        LibraryMetric("piq:haarpsi").tokens(torch.zeros(1, 1, 6, 1, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("name", ["piq:haarpsi", "torchmetrics:VisualInformationFidelity"])
def test_a_video_alone_has_the_numbers_of_a_batch(name: str) -> None:
    x = pairs()
    branch = LibraryMetric(name)
    torch.testing.assert_close(branch.tokens(x), torch.cat([branch.tokens(x[:1]), branch.tokens(x[1:])]))
