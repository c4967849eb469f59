import json
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


def test_encode_keeps_measured_speeds_and_refuses_a_full_disk(
    tmp_path: Path, ladder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clip(tmp_path / "clips" / "zoom.mkv")
    ladder.write_text(LADDER.replace("[fast]", "{quick: 0.01}").replace(", kvazaar", ""))
    arguments = {"ladder": ladder, "root": tmp_path / "root"}
    assert build.encode(tmp_path / "clips", **arguments) == 0
    assert json.loads((tmp_path / "root" / "speeds.json").read_text()) == {"quick": {"x264": "veryslow"}}
    monkeypatch.setattr(build.ladders, "resolve_speeds", lambda *_: pytest.fail("measured again"))
    assert build.encode(tmp_path / "clips", **arguments) == 0
    monkeypatch.setattr(build.ladders, "disk_estimate", lambda *_: 10**18)
    with pytest.raises(ValueError, match=r"need about 1000000000.0 GB but .* free; make room"):
        build.encode(tmp_path / "clips", **arguments)


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
    assert out.with_suffix(".png").is_file()
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"x")
    assert build.select(tmp_path / "clips", clusters=2, out=out) == 2
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "broken.mp4").write_bytes(b"x")
    with pytest.raises(ValueError, match="No clip could be read: "):
        build.select(tmp_path / "bad", clusters=1, out=out)
