"""Several models see one decode of a video, and say what each says alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models.commands.score import score
from cvqa_models.corpus import ffmpeg
from cvqa_models.inference import opened as opening
from cvqa_models.inference.load import load
from cvqa_models.inference.scorer import Scorer, score_together
from cvqa_models.video.reader import ReadOptions
from tests.unit.training.test_average import checkpoint


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A video and its source."""
    folder = tmp_path_factory.mktemp("clips")
    paths = folder / "video.mp4", folder / "source.mp4"
    for path, crf in zip(paths, ("40", "10"), strict=True):
        source = ["-f", "lavfi", "-i", "testsrc2=s=256x192:r=10:d=1", "-pix_fmt", "yuv420p"]
        ffmpeg.write([*source, "-c:v", "libx264", "-crf", crf], path)
    return paths


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """The shipped level, a checkpoint of it, and a measure against the source."""
    return ["compression_level", str(checkpoint(tmp_path / "mine.ckpt", 1.0)), "ms_ssim"]


def test_each_says_what_it_says_alone(
    clips: tuple[Path, Path], models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    video, source = clips
    names = models
    scorers = {name: load(name, device="cpu") for name in names}
    alone = {name: scorer(video, reference=source if scorer.compares else None) for name, scorer in scorers.items()}
    reads, known = [], opening.iter_clips
    monkeypatch.setattr(opening, "iter_clips", lambda *args, **more: reads.append(args) or known(*args, **more))
    found = score_together(scorers, video, reference=source)
    assert found == alone
    assert len(reads) == 1, "the video is decoded once"


def test_models_that_read_differently_are_refused(clips: tuple[Path, Path]) -> None:
    scorers = {str(lines): load(device="cpu", reading=ReadOptions(display=lines)) for lines in (180, 360)}
    with pytest.raises(ValueError, match="2 models read files in 2 ways; give all the same `reading`"):
        score_together(scorers, clips[0])


def test_the_command_has_a_column_for_each(
    clips: tuple[Path, Path], models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, source = clips
    names = models
    code = score(model=[*names, str(video), str(tmp_path / "gone.mp4")], reference=source, json=tmp_path / "s.json")
    assert code == 2
    shown, said = capsys.readouterr()
    header, row = (line.split(",") for line in shown.splitlines())
    level = [f"compression_level{part}" for part in ("", ".low", ".high")]
    assert header == ["video", *level, "mine", "ms_ssim", "notes"]
    expected = load("compression_level", device="cpu")(video).value
    assert float(row[1]) == expected
    assert float(row[4]) != expected
    assert "1 of 2 files have no score" in said
    assert "gone.mp4" in said


def test_models_behind_which_no_video_stands_and_others_that_exclude_each_other(
    clips: tuple[Path, Path], models: list[str], tmp_path: Path
) -> None:
    video = str(clips[0])
    with pytest.raises(ValueError, match="No video is given; give files, folders or a list"):
        score(model=["compression_level", "ms_ssim"])
    with pytest.raises(ValueError, match="`--model` and `--checkpoint` exclude each other"):
        score([video], model=["ms_ssim"], checkpoint=Path(models[1]))
    with pytest.raises(ValueError, match="`--model` and `--out` exclude each other"):
        score([video], model=["ms_ssim"], out=tmp_path / "rows.jsonl")
    with pytest.raises(ValueError, match="have one name, so one column"):
        score([video], model=[models[1], models[1]])
    with pytest.raises(ValueError, match="compares a video with its source; give it as `reference`"):
        score([video], model=["compression_level", "ms_ssim"])


def test_a_scorer_says_if_it_compares() -> None:
    assert [load(name, device="cpu").compares for name in ("compression_level", "ms_ssim")] == [False, True]
    assert isinstance(load("ms_ssim", device="cpu"), Scorer)
