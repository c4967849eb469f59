"""`cvqa score` with a configuration: what is complete without training, and when a source is needed."""

from __future__ import annotations

from pathlib import Path

import piq
import pytest
import torch

from cvqa_models.commands.score import score
from cvqa_models.ending import MISTAKE
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.reader import read_views
from cvqa_models.video.view import View
from tests.unit.data.footage import make_videos

ROOT = Path(__file__).resolve().parents[3]
METRIC = [ROOT / "configs" / "tiny" / "metric.yaml"]


def config(folder: Path, system: str, arguments: str) -> list[Path]:
    path = folder / "config.yaml"
    path.write_text(f"model: {{class_path: cvqa_models.models.{system}, init_args: {arguments}}}\ntrainer: {{}}\n")
    return [path]


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    return [Path(str(record.path)) for record in make_videos(tmp_path / "videos", 2)]


def test_a_measure_scores_without_a_checkpoint(tmp_path: Path, videos: list[Path]) -> None:
    score(videos, config=METRIC, reference=videos[0], csv_file=tmp_path / "out.csv")
    rows = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["video", *map(str, videos)]
    view = View(KeyFrames(2), Native())
    first, second = (read_views(path, [view])[view.key][:, :, 0].float() / 255 for path in videos)
    assert float(rows[1][1]) == 0
    assert float(rows[2][1]) == pytest.approx(-piq.gmsd(second, first, data_range=1.0).item(), rel=1e-5)


def test_a_source_is_given_where_it_is_seen_and_only_there(tmp_path: Path, videos: list[Path]) -> None:
    with pytest.raises(ValueError, match="Metric compares a video with its source; give it as `reference`"):
        score(videos, config=METRIC)
    with pytest.raises(FileNotFoundError, match=r"There is no video '.*gone\.mp4'"):
        score(videos, config=METRIC, reference=tmp_path / "gone.mp4")
    torchmetrics = config(tmp_path, "metric.Metric", "{name: 'torchmetrics:TotalVariation'}")
    with pytest.raises(ValueError, match="Metric sees no source; leave `reference` out"):
        score(videos, config=torchmetrics, reference=videos[0])


def test_what_is_not_trained_does_not_score(
    tmp_path: Path, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        "{content: {class_path: cvqa_models.branches.resnet50_stats.ResNet50Stats, init_args: {name: test_resnet}}, "
        "loss: {class_path: cvqa_models.losses.grouped.GroupLoss}}"
    )
    with pytest.raises(ValueError, match="Vsfa is not trained; train it and give its checkpoint"):
        score(videos, config=config(tmp_path, "vsfa.Vsfa", arguments))
    measures = "{measures: {class_path: cvqa_models.branches.piq.Piq, init_args: {measures: [gmsd], num_clips: 1}}}"
    unfitted = config(tmp_path, "mmf.Mmf", measures)
    assert score(videos, config=unfitted, reference=videos[0]) == MISTAKE
    assert capsys.readouterr().err.count("MMF is not fitted; run `cvqa fit-mmf`") == len(videos)


def test_one_thing_scores(tmp_path: Path, videos: list[Path]) -> None:
    with pytest.raises(ValueError, match="Give either `--checkpoint FILE` or `--config FILE"):
        score(videos, config=METRIC, checkpoint=tmp_path / "last.ckpt")
    with pytest.raises(FileNotFoundError, match=r"There is no configuration '.*gone\.yaml'"):
        score(videos, config=[tmp_path / "gone.yaml"])
    with pytest.raises(ValueError, match="The configuration is not valid"):
        score(videos, config=config(tmp_path, "metric.Metric", "{nam: 'piq:gmsd'}"))


def test_inference_leaves_no_trace(videos: list[Path], tmp_path: Path) -> None:
    outs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for out in outs:
        score(videos, config=METRIC, reference=videos[1], csv_file=out)
    assert outs[0].read_text() == outs[1].read_text()
    assert torch.is_grad_enabled()
