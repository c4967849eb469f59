from dataclasses import replace
from pathlib import Path

import pytest

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.encoding import ladder
from cvqa_models.corpus.encoding.encode import encode_ladder
from cvqa_models.corpus.encoding.encoders import ENCODERS, find_encoder
from cvqa_models.corpus.references import Reference

PROJECT = Path(__file__).parents[4]
GOOD = "encoders: [x264, vp9]\npresets: [fast, medium]\nkbps: [100, 200, 400]\n"


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _speeds(read: ladder.Ladder, reference: Reference, folder: Path) -> dict[str, dict[str, str]]:
    return {name: ladder.speeds_of(find_encoder(name), read, reference, folder) for name in read.encoders}


def test_the_example_is_a_ladder_of_groups_that_count() -> None:
    example = ladder.read(PROJECT / "configs" / "build" / "ladder.yaml")
    assert len(example.encoders) * len(example.rungs) >= 15


def test_plan_has_a_job_per_reference_encoder_and_preset(tmp_path: Path, reference: Reference) -> None:
    read = ladder.read(_write(tmp_path / "l.yaml", GOOD))
    speeds = _speeds(read, reference, tmp_path)
    jobs = ladder.plan([reference], read, speeds)
    assert [(job.encoder.name, job.preset, job.speed) for job in jobs] == [
        ("x264", "fast", "veryfast"),
        ("x264", "medium", "medium"),
        ("vp9", "fast", "realtime8"),
        ("vp9", "medium", "good5"),
    ]
    assert jobs[0].video_id(100.0) == "x264_fast_cat_100"
    del speeds["x264"]  # an encoder that does not work is left out
    assert {job.encoder.name for job in ladder.plan([reference], read, speeds)} == {"vp9"}


def test_own_speed_names_are_taken(tmp_path: Path, reference: Reference) -> None:
    text = "encoders: [svt-av1]\npresets: {slow: {svt-av1: 4}}\ncrf: [30, 40]\n"
    read = ladder.read(_write(tmp_path / "l.yaml", text))
    assert _speeds(read, reference, tmp_path) == {"svt-av1": {"slow": "4"}}


def test_a_crf_of_0_is_a_rung(tmp_path: Path) -> None:
    assert ladder.read(_write(tmp_path / "l.yaml", "encoders: [x264]\npresets: [fast]\ncrf: [0, 20]")).rungs == (0, 20)


# Ten lines that would print as ten thousand million words.
LAUGHS = "\n".join(
    ["encoders: &a0 [x264]", "presets: [fast]", "kbps:"]
    + [f"  - &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoders: [x264]\npreset: [fast]\nkbps: [1]", r"unknown keys \['preset'\]"),
        ("- x264", r"unknown keys \['x264'\]"),
        ("encoders: [x264", "is not YAML"),
        ("encoders: [x264]\npresets: [fast]", "either `kbps` or `crf`"),
        ("encoders: [x264]\npresets: [fast]\nkbps: [1]\ncrf: [2]", "either `kbps` or `crf`"),
        ("encoders: x264\npresets: [fast]\nkbps: [1]", "needs `encoders`, a list"),
        ("encoders: [x264]\npresets: [fast]\nkbps: 100", "`kbps` is 100; expected numbers"),
        ("encoders: [x264]\npresets: [fast]\nkbps: ['a']", "`kbps` is .'a'.; expected numbers"),
        ("encoders: [h264]\npresets: [fast]\nkbps: [100]", "'h264' is not known; choose from x264"),
        ("encoders: []\npresets: [fast]\nkbps: [100]", "at least one encoder"),
        ("encoders: [x264]\npresets: [fast]\nkbps: [100, 100]", "kbps must be different numbers above 0, not"),
        ("encoders: [x264]\npresets: [fast]\nkbps: [0]", "different numbers above 0, not .0.0,"),
        ("encoders: [x264]\npresets: [fast]\nkbps: [100, .nan]", "different numbers above 0, not .100.0, nan"),
        ("encoders: [x264]\npresets: [fast]\nkbps: [.inf]", "different numbers above 0, not .inf,"),
        ("encoders: [x264]\npresets: [fast]\ncrf: [-1]", "crf must be different numbers of 0 or more, not .-1.0,"),
        ("encoders: [x264]\npresets: [fast]\ncrf: [.nan]", "different numbers of 0 or more, not .nan,"),
        (
            "encoders: [x264]\npresets: [{fast: 30}]\nkbps: [1]",
            r"preset {'fast': 30} is no name of letters.*; give `presets: \[fast",
        ),
        ("encoders: [x264]\npresets: [fast, 3]\nkbps: [1]", "the preset 3 is no name"),
        ("encoders: [x264]\npresets: {3: 30}\nkbps: [1]", "the preset 3 is no name"),
        ("encoders: [x264]\npresets: [fast]\nkbps: [100]\ntolerance: 4", "`tolerance` is 4.0"),
        (
            "encoders: [vp9]\npresets: {fast: {vp9: 9}}\nkbps: [1]",
            "'fast' of 'vp9' is 9; give one of its speeds",
        ),
        ("encoders: [vp9]\npresets: [quick]\nkbps: [1]", "'quick' of 'vp9' is None; give one of its speeds"),
        ("encoders: [x264]\npresets: {fast: veryfast}\nkbps: [1]", "'fast' of 'x264' is 'veryfast'; give one"),
        ("encoders: [x264]\npresets: {fast: 0}\nkbps: [1]", "'fast' of 'x264' is 0; give one"),
        ("encoders: [x264]\npresets: [../../up]\nkbps: [1]", r"the preset '\.\./\.\./up' is no name of letters"),
        ('encoders: [x264]\npresets: ["a\\nb"]\nkbps: [1]', r"the preset 'a\\nb' is no name of letters"),
        ("encoders: [x264]\npresets: [/etc]\nkbps: [1]", "the preset '/etc' is no name of letters"),
        ("encoders: [[x264]]\npresets: [fast]\nkbps: [1]", "needs `encoders`, a list of names"),
        ("encoders: [x264]\npresets: fast\nkbps: [1]", "needs .* `presets`, a list or a mapping"),
        ("encoders: [x264]\npresets: {fast: [30]}\nkbps: [1]", r"the preset 'fast' is \[30\]; expected `named`"),
        ("encoders: [x264]\npresets: {fast: &a {x: *a}}\nkbps: [1]", "the preset 'fast' is .*; expected `named`"),
        ("1: [x264]\na: [fast]", r"unknown keys \['1', 'a'\]"),
        (f"encoders: [x264]\npresets: [fast]\nkbps: [1{'0' * 400}]", r"`kbps` is \[10+\.\.\.0+\]; expected numbers"),
        (f"encoders: [x264]\npresets: [fast]\nkbps: [1{'0' * 9000}]", "is not YAML"),
        (f"encoders: [x264]\npresets: {{fast: 1{'0' * 400}}}\nkbps: [1]", "'fast' of 'x264' is 10+; give one"),
        ("encoders: [x264]\npresets: [fast]\nkbps: [2020-13-45]", "is not YAML: month must be in 1..12"),
        ("encoders: !!bool 3", "is not YAML"),
        ("encoders: !!int ''", "is not YAML"),
        ("[" * 5000, "is not YAML: .*recursion"),
        (LAUGHS, r"`kbps` is \[.*; expected numbers"),
        ("encoders: [openh264]\npresets: [fast]\ncrf: [30]", "'openh264' has no CRF;"),
        ("encoders: [vp9]\npresets: [fast]\ncrf: [30.5]", "'vp9' has no CRF 30.5; it takes 0 to 63 in steps of 1"),
        ("encoders: [x264]\npresets: [fast]\ncrf: [60]", "'x264' has no CRF 60; it takes 0 to 51"),
    ],
)
def test_refuses(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ladder.read(_write(tmp_path / "l.yaml", text))


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"configs/build/ladder.yaml is an example"):
        ladder.read(tmp_path / "none.yaml")


def test_the_slowest_sufficient_speed_is_found(
    tmp_path: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    fps = {speed: 2.0**number for number, speed in enumerate(ENCODERS["x264"].speeds)}
    monkeypatch.setattr(ladder, "_measured_fps", lambda encoder, speed, probe, folder: fps[speed])
    assert ladder.slowest_at(ENCODERS["x264"], 5, reference, tmp_path) == "medium"  # 1, 2, 4, 8
    assert ladder.slowest_at(ENCODERS["x264"], 1e9, reference, tmp_path) == "ultrafast"
    assert ladder.slowest_at(ENCODERS["x264"], 0.1, reference, tmp_path) == "veryslow"


def test_speed_is_measured_by_encoding(tmp_path: Path, reference: Reference) -> None:
    read = ladder.read(_write(tmp_path / "l.yaml", "encoders: [x264, vp9]\npresets: {any: 0.001}\nkbps: [100]\n"))
    assert _speeds(read, reference, tmp_path) == {"x264": {"any": "veryslow"}, "vp9": {"any": "good0"}}


def test_disk_estimate_is_rate_times_length(tmp_path: Path, reference: Reference) -> None:
    read = ladder.read(_write(tmp_path / "l.yaml", GOOD))
    source = 128 * 96 * 20
    assert ladder.disk_estimate([reference], read, lossless=False) == round(4 * 700_000 / 8 * 0.8 + source)
    assert ladder.disk_estimate([reference], read, lossless=True) == round(4 * 700_000 / 8 * 0.8 + 13 * source)
    assert reference.path.stat().st_size < source


def test_an_encoder_that_ffmpeg_lacks_is_named(
    tmp_path: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ladder.LadderJob(reference, find_encoder("vvenc"), "fast", "light", "kbps", (100.0,), 0.04)
    monkeypatch.setattr(ffmpeg, "encoder_names", lambda: frozenset({"libx264"}))
    with pytest.raises(
        ValueError, match="without libvvenc; use the one that imageio-ffmpeg brings, or leave 'vvenc' out"
    ):
        encode_ladder(replace(job), tmp_path)
