"""`cvqa score` and `train.py predict`: branch scores, score maps, and arithmetic in bfloat16."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from safetensors.torch import load_file

from cvqa_models.commands.score import score
from cvqa_models.data.rows import read_rows
from cvqa_models.training.callbacks.prediction_writer import PredictionWriter
from cvqa_models.training.module import QualityModule
from cvqa_models.types import Prediction
from tests.unit.data.footage import make_videos

TINY = Path(__file__).resolve().parents[3] / "configs" / "tiny"


def checkpoint_of(system: str, folder: Path) -> Path:
    """Return a checkpoint of a tiny system as `train.py` would write it, untrained."""
    config = yaml.safe_load((TINY / f"{system}.yaml").read_text())["model"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(QualityModule, "model")
    torch.manual_seed(0)
    model = parser.instantiate(parser.parse_object({"model": copy.deepcopy(config)})).model
    content = {
        "state_dict": model.state_dict(),
        "hyper_parameters": {"_class_path": config["class_path"], **config["init_args"]},
        "frozen_digests": {},
    }
    path = folder / f"{system}.ckpt"
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    records = make_videos(tmp_path_factory.mktemp("score") / "videos", 2)
    return [Path(str(record.path)) for record in records]


@pytest.fixture(scope="module")
def cover(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_of("cover", tmp_path_factory.mktemp("cover"))


def scored(videos: list[Path], checkpoint: Path, folder: Path, **options: object) -> list[dict]:
    score(videos, checkpoint=checkpoint, json=folder / "scores.json", **options)  # type: ignore[arg-type]
    rows: list[dict] = json.loads((folder / "scores.json").read_text())
    return rows


def test_maps_average_to_the_branch_scores_and_these_add_up(cover: Path, videos: list[Path], tmp_path: Path) -> None:
    rows = scored(videos, cover, tmp_path, maps=tmp_path / "maps")
    names = {f"v{k}.mp4.{end}" for k in range(2) for end in ("mp4", "png", "safetensors")}
    assert {path.name for path in (tmp_path / "maps").iterdir()} == names
    for row in rows:
        maps = load_file(tmp_path / "maps" / f"{Path(row['video']).name}.safetensors")
        assert {name: tuple(values.shape) for name, values in maps.items()} == {
            "technical": (3, 8, 8),
            "aesthetic": (3, 4, 4),
            "semantic": (3, 1, 1),
        }
        for name, values in maps.items():
            assert values.mean().item() == pytest.approx(row[name], abs=1e-6)
        assert sum(row[name] for name in maps) == pytest.approx(row["score"], abs=1e-6)
    assert rows[0]["score"] != rows[1]["score"]


def test_bfloat16_scores_are_near_those_in_float32(cover: Path, videos: list[Path], tmp_path: Path) -> None:
    exact = scored(videos, cover, tmp_path)
    mixed = scored(videos, cover, tmp_path, precision="bf16-mixed")
    for row, near in zip(exact, mixed, strict=True):
        assert near["score"] == pytest.approx(row["score"], abs=0.02)
        assert near["score"] != row["score"]


def test_scores_of_frames_average_to_the_score(videos: list[Path], tmp_path: Path) -> None:
    [row] = scored(videos[:1], checkpoint_of("vsfa", tmp_path), tmp_path, maps=tmp_path)
    quality = load_file(tmp_path / "v0.mp4.safetensors")["quality"]
    assert quality.shape == (4,)
    assert quality.mean().item() == pytest.approx(row["score"], abs=1e-6)


def test_maps_of_a_system_without_them_are_refused(videos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'v0\.mp4' was scored by a system without score maps; leave `--maps` out"):
        scored(videos, checkpoint_of("rankiqa", tmp_path), tmp_path, maps=tmp_path)


def test_two_files_of_one_name_cannot_both_have_maps(cover: Path, videos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"2 videos are called 'v0\.mp4'"):
        scored([videos[0], videos[0]], cover, tmp_path, maps=tmp_path)


def test_predictions_write_maps_beside_the_scores(tmp_path: Path) -> None:
    prediction = Prediction("a/b", "g", 1.0, maps={"quality": torch.tensor([0.5, 1.5])})
    PredictionWriter(tmp_path / "predictions.csv", tmp_path / "maps").on_predict_batch_end(
        SimpleNamespace(global_rank=0, world_size=1),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        [prediction],
        None,  # type: ignore[arg-type]
        0,
    )
    assert load_file(tmp_path / "maps" / "a%2Fb.safetensors")["quality"].tolist() == [0.5, 1.5]
    assert [row["score"] for row in read_rows(tmp_path / "predictions.rows.jsonl")] == [1.0]
