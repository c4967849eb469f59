import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from cvqa_models.build import ffmpeg
from cvqa_models.commands import build
from cvqa_models.data.manifest import read_manifest

LADDER = "encoders: [x264, kvazaar]\npresets: [fast]\nkbps: [80, 200]\ntolerance: 0.1\n"


def _clip(path: Path, size: str = "104x96", pattern: str = "mandelbrot") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = ["-f", "lavfi", "-i", f"{pattern}=size={size}:rate=25", "-frames:v", "15", "-pix_fmt", "yuv420p"]
    ffmpeg.write([*source, "-c:v", "ffv1"], path)
    return path


@pytest.fixture
def ladder(tmp_path: Path) -> Path:
    path = tmp_path / "ladder.yaml"
    path.write_text(LADDER)
    return path


def test_encode_then_proxies(tmp_path: Path, ladder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _clip(tmp_path / "clips" / "zoom.mkv")
    _clip(tmp_path / "clips" / "odd.mkv", "100x96")  # kvazaar refuses it
    root, result = tmp_path / "root", tmp_path / "result.json"
    code = build.encode(tmp_path / "clips", ladder=ladder, root=root, lossless=True, json=result)
    assert code == 2
    failed = json.loads(result.read_text())["failures"]
    assert set(failed) == {"kvazaar_fast_odd_80", "kvazaar_fast_odd_200"}
    assert "failed kvazaar_fast_odd_80: " in capsys.readouterr().err
    records = read_manifest(root / "manifest.csv")
    assert len(records) == 6
    assert all(Path(str(path)).is_file() for one in records for path in (one.path, one.reference_path))
    assert all(one.bitrate_kbps == pytest.approx(float(one.video_id.rsplit("_")[-1]), rel=0.1) for one in records)
    assert len(list((root / "lossless").glob("*.mkv"))) == 6

    out = root / "proxies.csv"
    assert build.proxies(root / "manifest.csv", out=out, features=["psnr", "ssim"], every=2) == 0
    table = pd.read_csv(out)
    assert list(table.columns) == ["video_id", "vmaf", "psnr", "ssim"]
    assert table["video_id"].tolist() == [one.video_id for one in records]
    ladders = table.assign(ladder=table["video_id"].str.rsplit("_", n=1).str[0])
    assert ladders.groupby("ladder")["vmaf"].is_monotonic_increasing.all()


def test_encode_takes_the_chosen_clips_of_a_selection(
    tmp_path: Path, ladder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, pattern in [("zoom", "mandelbrot"), ("test", "testsrc2"), ("bars", "smptebars")]:
        _clip(tmp_path / "clips" / f"{name}.mkv", pattern=pattern)
    ladder.write_text("encoders: [x264]\npresets: [fast]\ncrf: [40]\n")
    monkeypatch.chdir(tmp_path)
    selection = Path("data/selection.csv")
    assert build.select(Path("clips"), clusters=2, candidates=1, out=selection) == 0
    chosen = pd.read_csv(selection).query("chosen")["video_id"]
    assert len(chosen) == 2
    assert build.encode(selection, ladder=ladder, root=tmp_path / "root") == 0
    assert {one.reference for one in read_manifest(tmp_path / "root" / "manifest.csv")} == set(chosen)


def test_encode_keeps_measured_speeds_and_refuses_a_full_disk(
    tmp_path: Path, ladder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clip(tmp_path / "clips" / "zoom.mkv")
    ladder.write_text(LADDER.replace("[fast]", "{quick: 0.01}").replace(", kvazaar", ""))
    arguments = {"ladder": ladder, "root": tmp_path / "root"}
    assert build.encode(tmp_path / "clips", **arguments) == 0
    assert json.loads((tmp_path / "root" / "speeds.json").read_text()) == {"x264": {"quick": "veryslow"}}
    monkeypatch.setattr(build.ladders, "speeds_of", lambda *_: pytest.fail("measured again"))
    assert build.encode(tmp_path / "clips", **arguments) == 0
    monkeypatch.setattr(build.ladders, "disk_estimate", lambda *_: 10**18)
    with pytest.raises(ValueError, match=r"needs about \d+\.\d GB but .* free; make room"):
        build.encode(tmp_path / "clips", **arguments)


def test_an_encoder_that_is_missing_is_named_once_and_the_others_go_on(
    tmp_path: Path, ladder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("zoom", "zoom2"):
        _clip(tmp_path / "clips" / f"{name}.mkv")
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"x")
    present = ffmpeg.encoder_names() - {"libkvazaar"}
    monkeypatch.setattr(ffmpeg, "encoder_names", lambda: present)
    result = tmp_path / "result.json"
    assert build.encode(tmp_path / "clips", ladder=ladder, root=tmp_path / "root", json=result) == 2
    failures = json.loads(result.read_text())["failures"]
    assert set(failures) == {"kvazaar", "broken"}
    assert "was built without libkvazaar" in failures["kvazaar"]
    assert len(read_manifest(tmp_path / "root" / "manifest.csv")) == 4


def test_a_build_goes_on_only_with_its_own_settings(tmp_path: Path, ladder: Path) -> None:
    _clip(tmp_path / "clips" / "zoom.mkv")
    ladder.write_text(LADDER.replace(", kvazaar", ""))
    assert build.encode(tmp_path / "clips", ladder=ladder, root=tmp_path / "root") == 0
    ladder.write_text("# a remark\n" + ladder.read_text())
    assert build.encode(tmp_path / "clips", ladder=ladder, root=tmp_path / "root") == 0
    ladder.write_text(ladder.read_text().replace("[80, 200]", "[80, 300]"))
    with pytest.raises(ValueError, match=r"root' was built with rungs=\[80.0, 200.0\]; use these settings"):
        build.encode(tmp_path / "clips", ladder=ladder, root=tmp_path / "root")


def _finished(root: Path) -> dict[str, tuple[str, int]]:
    """Return the digest and the time of every video that has its card."""
    videos = [root / "videos" / f"enc_res_{card.stem}.mp4" for card in (root / "encodes").glob("*.json")]
    return {
        path.name: (hashlib.md5(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in videos
        if path.is_file()
    }


def test_a_killed_build_goes_on_to_the_same_files_and_makes_nothing_twice(tmp_path: Path, ladder: Path) -> None:
    _clip(tmp_path / "clips" / "zoom.mkv")
    ladder.write_text("encoders: [x264, x265, svt-av1, openh264]\npresets: [fast, medium]\nkbps: [80, 160]\n")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert build.encode(tmp_path / "clips", ladder=ladder, root=whole) == 0
    options = ["--references", str(tmp_path / "clips"), "--ladder", str(ladder), "--root", str(killed)]
    for count in (0, 7):  # before any encode is finished, and among them
        with subprocess.Popen([sys.executable, "-m", "cvqa_models", "build", "encode", *options]) as process:
            while not (killed / "videos").exists() or len(_finished(killed)) < count:
                assert process.poll() is None
                time.sleep(0.005)
            process.kill()
        before = _finished(killed)
        assert len(before) < 16
    assert build.encode(tmp_path / "clips", ladder=ladder, root=killed) == 0
    after = _finished(killed)
    assert {name: after[name] for name in before} == before
    assert {name: digest for name, (digest, _) in after.items()} == {
        name: digest for name, (digest, _) in _finished(whole).items()
    }
    assert sorted(path.name for path in (killed / "videos").iterdir()) == sorted(after)
    assert (killed / "manifest.csv").read_bytes() == (whole / "manifest.csv").read_bytes()


def test_encode_with_nothing_to_show_for(tmp_path: Path, ladder: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"No reference could be used: .*a.mp4' cannot be read"):
        build.encode(tmp_path / "clips", ladder=ladder, root=tmp_path / "root")
    _clip(tmp_path / "odd" / "odd.mkv", "100x96")
    ladder.write_text(LADDER.replace("x264, ", ""))
    with pytest.raises(ValueError, match=r"No video could be encoded: .*multiple of 8"):
        build.encode(tmp_path / "odd", ladder=ladder, root=tmp_path / "other")


def test_proxies_refuses_what_it_cannot_measure(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("video_id,path,reference_path\na,a.mp4,\n")
    with pytest.raises(ValueError, match=r"lacks `path` or `reference_path` for 1 of 1 videos \(first: 'a'\)"):
        build.proxies(manifest, out=tmp_path / "p.csv")
    with pytest.raises(ValueError, match=r"`features` holds \['lpips'\]"):
        build.proxies(manifest, out=tmp_path / "p.csv", features=["lpips"])
    manifest.write_text("video_id,path,reference_path\na,a.mp4,r.mp4\n")
    with pytest.raises(ValueError, match="No video could be measured: "):
        build.proxies(manifest, out=tmp_path / "p.csv")


def test_select(tmp_path: Path) -> None:
    for name, pattern in [("zoom", "mandelbrot"), ("test", "testsrc2"), ("bars", "smptebars"), ("life", "testsrc")]:
        _clip(tmp_path / "clips" / f"{name}.mkv", pattern=pattern)
    out = tmp_path / "selection.csv"
    assert build.select(tmp_path / "clips", clusters=2, candidates=1, out=out) == 0
    table = pd.read_csv(out)
    assert table["chosen"].sum() == table["cluster"].nunique() == 2
    assert sorted(table["path"]) == [f"clips/{name}.mkv" for name in ("bars", "life", "test", "zoom")]
    assert out.with_suffix(".png").is_file()
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"x")
    assert build.select(tmp_path / "clips", clusters=2, out=out) == 2
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "broken.mp4").write_bytes(b"x")
    with pytest.raises(ValueError, match="No clip could be read: "):
        build.select(tmp_path / "bad", clusters=1, out=out)
