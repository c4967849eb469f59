import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cvqa_models.corpus.synthetic import mini
from cvqa_models.corpus.synthetic.mini import build_mini
from cvqa_models.data.adapters.cvqad import Cvqad

COLUMNS = ["codec", "preset", "sequence", "crf", "standard", "real_bitrate", "bitrate", "subjective_score"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini, "SCENES", mini.SCENES[:2])
    monkeypatch.setattr(mini, "MULTIPLES", {"x264": (0.8, 2.0), "vp9": (1.5, 3.0)})


def _build(root: Path, **arguments: object) -> mini.Built:
    return build_mini(root, width=128, height=96, seconds=0.6, **arguments)  # type: ignore[arg-type]


def test_the_table_is_cvqads_and_finds_its_videos(tmp_path: Path) -> None:
    built = _build(tmp_path)
    assert built.failures == {}
    table = pd.read_csv(built.labels)
    assert list(table.columns) == COLUMNS
    assert len(table) == built.num_videos == 2 * 2 * 2 * 2
    assert table.groupby(["sequence", "preset"])["subjective_score"].min().eq(0).all()
    ladders = table.groupby(["codec", "preset", "sequence"])
    assert all(ladder["real_bitrate"].is_monotonic_increasing for _, ladder in ladders)
    assert all(ladder["bitrate"].tolist() == ["mid", "high"] for _, ladder in ladders)
    records = Cvqad(labels=str(built.labels), videos=str(built.videos)).records()
    assert len(records) == 16
    assert all(Path(str(record.path)).is_file() for record in records)
    proxies = pd.read_csv(built.proxies)
    assert proxies["video_id"].tolist() == [record.video_id for record in records]
    assert proxies["vmaf"].between(0, 100).all()
    assert "not human opinion" in (tmp_path / "README.md").read_text()


def test_a_second_build_makes_nothing_and_says_the_same(tmp_path: Path) -> None:
    built = _build(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.m[kp]*")}
    table = built.labels.read_bytes()
    time.sleep(0.01)
    assert _build(tmp_path) == built
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.m[kp]*")} == stamps
    assert built.labels.read_bytes() == table


def test_own_clips_take_the_place_of_photographs(tmp_path: Path) -> None:
    own = _build(tmp_path / "first").references
    (own / "broken.mp4").write_bytes(b"x")
    for card in own.glob("*.json"):
        card.unlink()
    built = _build(tmp_path / "second", references=own)
    assert sorted(pd.read_csv(built.labels)["sequence"].unique()) == ["astronaut", "coffee"]
    assert list(built.failures) == ["broken"]
    assert np.isfinite(pd.read_csv(built.labels)["subjective_score"]).all()


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    _build(tmp_path)
    with pytest.raises(ValueError, match="was built with seed=0; use these settings or another folder"):
        _build(tmp_path, seed=1)


def test_impossible_builds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="size 99x64 must be even"):
        build_mini(tmp_path, width=99, height=64)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"No reference could be made: .*broken.mp4' cannot be read"):
        _build(tmp_path / "root", references=tmp_path / "clips")
    monkeypatch.setattr(mini, "MULTIPLES", {"openh264": (0.01,)})
    with pytest.raises(ValueError, match=r"No video could be built: .* cannot be reached"):
        _build(tmp_path / "low")
