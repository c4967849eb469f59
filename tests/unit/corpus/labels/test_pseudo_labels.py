import json
import shutil
from pathlib import Path

import av
import numpy as np
import pandas as pd
import piq
import pytest
import torch
from scipy.stats import spearmanr

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.labels.pseudo_labels import bradley_terry_labels, measure, measure_all
from cvqa_models.corpus.references import Reference


def _luma(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)]).astype(float)


def test_ssim_and_ms_ssim_agree_with_another_library(film: tuple[Path, Path], tmp_path: Path) -> None:
    video, source = film
    values = measure(video, source, tmp_path / "card.json", ["ssim", "ms_ssim"])
    ours, theirs = (torch.tensor(_luma(path))[:, None].float() for path in film)
    assert values["ssim"] == pytest.approx(piq.ssim(ours, theirs, data_range=255).item(), abs=0.002)
    assert values["ms_ssim"] == pytest.approx(piq.multi_scale_ssim(ours, theirs, data_range=255).item(), abs=0.005)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, reference: Reference) -> tuple[Path, Path]:
    """A compressed MP4 and its source in MKV at 30000/1001 frames a second: times that do not agree."""
    folder = tmp_path_factory.mktemp("film")
    source, video = folder / "source.mkv", folder / "video.mp4"
    size = "scale=256:192"  # MS-SSIM needs the size
    ffmpeg.write(["-r", "30000/1001", "-i", reference.path, "-vf", size, "-c:v", "ffv1"], source)
    x264 = ["-c:v", "libx264", "-crf", "36", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
    ffmpeg.write(["-r", "30000/1001", "-i", reference.path, "-vf", size, *x264], video)
    return video, source


def test_psnr_is_that_of_frames_paired_by_index(film: tuple[Path, Path], tmp_path: Path) -> None:
    video, source = film
    values = measure(video, source, tmp_path / "card.json", ["psnr", "ssim", "ms_ssim"])
    error = ((_luma(video) - _luma(source)) ** 2).mean((1, 2))
    assert values["psnr"] == pytest.approx((10 * np.log10(255**2 / error)).mean(), abs=0.01)
    assert 20 < values["vmaf"] < 95
    assert 0.5 < values["ssim"] < values["ms_ssim"] < 1


def test_a_copy_is_perfect_and_the_card_is_used_again(film: tuple[Path, Path], tmp_path: Path) -> None:
    _, source = film
    card = tmp_path / "card.json"
    assert measure(source, source, card)["vmaf"] > 95
    content = json.loads(card.read_text()) | {"vmaf": 1.5, "psnr": 2.5}
    card.write_text(json.dumps(content))
    assert measure(source, source, card, []) == {"vmaf": 1.5}
    assert measure(source, source, card, every=2)["vmaf"] > 95  # the card is of every frame
    assert measure(source, source, card, ["ssim"])["ssim"] == pytest.approx(1, abs=1e-4)  # the card lacks this one
    card.write_text(json.dumps({"vmaf": 1.5, "psnr": 2.5, "every": 1}))
    assert measure(source, source, card, [])["vmaf"] > 95  # the card does not say which files it is of


@pytest.mark.parametrize("changed", ["video", "reference"])
def test_a_file_that_was_made_anew_is_measured_again(film: tuple[Path, Path], tmp_path: Path, changed: str) -> None:
    files = {
        name: shutil.copy(path, tmp_path / path.name) for name, path in zip(("video", "reference"), film, strict=True)
    }
    card = tmp_path / "card.json"
    first = measure(files["video"], files["reference"], card, [])
    shutil.copy(film[1] if changed == "video" else film[0], files[changed])
    again = measure(files["video"], files["reference"], card, [])
    assert again["vmaf"] > first["vmaf"] + 5  # both are the same film now
    assert json.loads(card.read_text())["vmaf"] == again["vmaf"]


def test_unequal_counts_and_broken_files_are_listed_and_the_rest_kept(film: tuple[Path, Path], tmp_path: Path) -> None:
    video, source = film
    short, broken = tmp_path / "short.mp4", tmp_path / "broken.mp4"
    ffmpeg.run(["-i", video, "-frames:v", "15", "-c", "copy", short])
    broken.write_bytes(b"no video")
    pairs = {"good": (video, source), "short": (short, source), "broken": (broken, source)}
    values, failures = measure_all(pairs, tmp_path / "cards", [])
    assert list(values) == ["good"]
    assert "'short.mp4' and its reference 'source.mkv' have [15, 20] frames; they must be equal" in failures["short"]
    assert "Invalid data" in failures["broken"]
    assert sorted(path.name for path in (tmp_path / "cards").iterdir()) == ["good.json"]


def test_damaged_frames_are_refused(film: tuple[Path, Path], tmp_path: Path) -> None:
    video, source = film
    content = bytearray(video.read_bytes())
    middle = content.index(b"mdat") + 1500
    content[middle : middle + 900] = bytes(900)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match=r"could not be decoded|must be equal"):
        measure(damaged, source, tmp_path / "card.json")


def test_labels_follow_vmaf_inside_groups_and_start_at_zero() -> None:
    vmaf = np.concatenate([np.linspace(30, 95, 18), np.linspace(60, 99, 18)])
    videos = pd.DataFrame({"video_id": [f"v{n}" for n in range(36)], "group": ["a"] * 18 + ["b"] * 18})
    labels = bradley_terry_labels(videos, vmaf)
    for half in (slice(0, 18), slice(18, 36)):
        assert labels[half].min() == 0
        assert spearmanr(labels[half], vmaf[half])[0] > 0.95
    np.testing.assert_array_equal(labels, bradley_terry_labels(videos, vmaf))
