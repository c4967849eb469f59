import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from cvqa_models.commands import build, build_synthetic
from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.encoding import encode_set
from cvqa_models.corpus.folder import building
from cvqa_models.data.manifest import read_manifest
from cvqa_models.data.videos import index_videos

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
    monkeypatch.setattr(encode_set.ladders, "speeds_of", lambda *_: pytest.fail("measured again"))
    assert build.encode(tmp_path / "clips", **arguments) == 0
    monkeypatch.setattr(encode_set.ladders, "disk_estimate", lambda *_: 10**18)
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


def test_a_measure_that_needs_a_larger_picture_is_left_empty_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _clip(tmp_path / "small.mkv", "256x144")  # MS-SSIM needs 176 rows
    _clip(tmp_path / "large.mkv", "256x192")
    rows = "".join(f"{name},{name}.mkv,{name}.mkv\n" for name in ("small", "large"))
    (tmp_path / "m.csv").write_text("video_id,path,reference_path\n" + rows)
    result, out = tmp_path / "result.json", tmp_path / "p.csv"
    for _ in range(2):  # from the videos, and from their cards
        assert build.proxies(tmp_path / "m.csv", out=out, json=result) == 2
        assert "failed small: ms_ssim could not be measured; the picture may be too small" in capsys.readouterr().err
        table = pd.read_csv(out, index_col="video_id")
        assert table.loc["small"].isna().to_dict() == {"vmaf": False, "psnr": False, "ssim": False, "ms_ssim": True}
        assert table.loc["large", "ms_ssim"] == pytest.approx(1)
        assert json.loads(result.read_text())["failures"].keys() == {"small"}


def test_two_builders_of_one_data_set_do_not_mix(tmp_path: Path, ladder: Path) -> None:
    _clip(tmp_path / "clips" / "zoom.mkv")
    with building(tmp_path / "root"), pytest.raises(ValueError, match=r"Another process is building in '.*root'; wait"):
        build.encode(tmp_path / "clips", ladder=ladder, root=tmp_path / "root")
    with building(tmp_path / "mini"), pytest.raises(ValueError, match=r"Another process is building in '.*mini'; wait"):
        build_synthetic.mini(tmp_path / "mini")


def test_a_kill_while_references_are_made_does_not_ruin_the_data_set(tmp_path: Path, ladder: Path) -> None:
    _clip(tmp_path / "clips" / "zoom.mkv")
    ladder.write_text("encoders: [x264]\npresets: [fast]\ncrf: [40]\n")
    for partial in ("references", "videos", "lossless", ""):
        left = tmp_path / "root" / partial / ".partial-left" / "zoom.mkv"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"half")
    assert build.encode(tmp_path / "clips", ladder=ladder, root=tmp_path / "root") == 0
    assert not list((tmp_path / "root").rglob(".partial-*"))
    assert index_videos(tmp_path / "root" / "references").keys() == {"zoom"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_build_ends_its_programs_and_keeps_what_is_done(
    tmp_path: Path, ladder: Path, number: signal.Signals, code: int
) -> None:
    _clip(tmp_path / "clips" / "zoom.mkv", "640x480")
    ladder.write_text("encoders: [x264, libaom]\npresets: {slow: {x264: veryfast, libaom: 2}}\ncrf: [30]\n")
    options = ["--references", tmp_path / "clips", "--ladder", ladder, "--root", tmp_path / "root"]
    words = [sys.executable, "-m", "cvqa_models", "build", "encode", *map(str, options), "--workers", "2"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        while not _finished(tmp_path / "root"):  # libaom, far slower, is under way
            assert process.poll() is None
            time.sleep(0.01)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        process.send_signal(number)
        err = process.communicate()[1]
    assert process.returncode == code
    assert err.splitlines()[-1].startswith("cvqa: stopped by ")
    assert "Traceback" not in err
    assert children
    assert not [child for child in children if Path("/proc", child).exists()]
    assert set(_finished(tmp_path / "root")) == {"enc_res_x264_slow_zoom_30.mp4"}
    assert not list((tmp_path / "root").rglob(".partial-*"))


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
