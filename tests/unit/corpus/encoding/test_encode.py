import hashlib
from dataclasses import replace
from pathlib import Path

import av
import pytest

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.encoding import encode as module
from cvqa_models.corpus.encoding.encode import encode_all, encode_ladder, load, lossless_copy
from cvqa_models.corpus.encoding.encoders import BITRATE, ENCODERS, Knob
from cvqa_models.corpus.encoding.ladder import LadderJob
from cvqa_models.corpus.references import Reference


def _job(reference: Reference, codec: str = "x264", rungs: tuple[float, ...] = (60, 150), tolerance: float = 0.04):
    encoder = ENCODERS[codec]
    return LadderJob(reference, encoder, "fast", encoder.presets["fast"], "kbps", rungs, tolerance)


def _packets(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    return len(sizes), sum(sizes)


def _digests(root: Path) -> dict[str, str]:
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in sorted((root / "videos").iterdir())}


def test_rates_are_met_and_counted_from_packets(reference: Reference, tmp_path: Path) -> None:
    result = encode_ladder(_job(reference), tmp_path)
    assert not result.failures
    for encode, rung in zip(result.encodes, (60, 150), strict=True):
        count, size = _packets(encode.path)
        assert encode.path.name == f"enc_res_x264_fast_cat_{rung}.mp4"
        assert count == reference.frames
        assert encode.kbps == pytest.approx(8 * size / 0.8 / 1000, rel=1e-3)
        assert encode.kbps == pytest.approx(rung, rel=0.04)
        assert load(tmp_path, encode.video_id) == encode


@pytest.mark.parametrize("codec", [codec for codec in ENCODERS if codec != "x264"])
def test_every_encoder_writes_every_frame_for_pyav(reference: Reference, tmp_path: Path, codec: str) -> None:
    result = encode_ladder(_job(reference, codec, (160,), tolerance=0.9), tmp_path)
    assert not result.failures
    with av.open(str(result.encodes[0].path)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == reference.frames
    assert (frames[0].width, frames[0].height) == (128, 96)


def test_a_second_run_makes_nothing(reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encode_ladder(_job(reference), tmp_path)
    monkeypatch.setattr(ffmpeg, "write", lambda *_: pytest.fail("encoded again"))
    assert encode_ladder(_job(reference), tmp_path) == first


def test_an_interrupted_search_ends_with_the_same_files(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _job(reference, rungs=(60, 90, 150))
    encode_ladder(job, tmp_path / "whole")
    real, runs = ffmpeg.write, []

    def killed(*arguments: object) -> list[int]:
        runs.append(arguments)
        if len(runs) == 5:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ffmpeg, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            encode_ladder(job, tmp_path / "cut")
    assert 0 < len(list((tmp_path / "cut" / "encodes").iterdir())) < 3
    encodes, failures = encode_all([job], tmp_path / "cut", workers=1)
    assert (len(encodes), failures) == (3, {})
    assert _digests(tmp_path / "cut") == _digests(tmp_path / "whole")


def test_a_rate_out_of_reach_is_named_and_the_rest_kept(reference: Reference, tmp_path: Path) -> None:
    result = encode_ladder(_job(reference, rungs=(1, 150)), tmp_path)
    assert [encode.rung for encode in result.encodes] == [150]
    assert "1 kb/s cannot be reached within 4%" in result.failures["x264_fast_cat_1"]
    assert "move this rung" in result.failures["x264_fast_cat_1"]


def test_a_rate_out_of_reach_is_said_even_where_bitrates_are_refused(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ffmpeg.write

    def refusing(arguments: list[str], *more: object) -> list[int]:
        if "-b:v" in arguments:
            raise ValueError("no bitrates")
        return real(arguments, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(ffmpeg, "write", refusing)
    result = encode_ladder(_job(reference, rungs=(1,)), tmp_path)
    assert "1 kb/s cannot be reached within 4%" in result.failures["x264_fast_cat_1"]
    result = encode_ladder(_job(reference, "vp9", rungs=(150,)), tmp_path)  # which knows bitrates only
    assert result.failures == {"vp9_fast_cat_150": "no bitrates"}


def test_a_failing_encoder_is_listed_with_its_own_words(reference: Reference, tmp_path: Path) -> None:
    odd = replace(reference, width=100)  # kvazaar refuses what is no multiple of 8
    cropped = tmp_path / "crop.mkv"
    ffmpeg.write([*reference.inputs, "-vf", "crop=100:96", "-c:v", "ffv1"], cropped)
    jobs = [_job(replace(odd, path=cropped), codec, (150,), 0.5) for codec in ("kvazaar", "x264")]
    encodes, failures = encode_all(jobs, tmp_path, workers=2)
    assert [encode.codec for encode in encodes] == ["x264"]
    assert "not a multiple of 8 (100x96)" in failures["kvazaar_fast_cat_150"]


def test_lost_frames_are_a_failure(reference: Reference, tmp_path: Path) -> None:
    result = encode_ladder(_job(replace(reference, frames=21)), tmp_path)
    assert result.failures["x264_fast_cat_60"].startswith("The encoder wrote 20 of 21 frames")


def test_fixed_crf_is_taken_as_it_is(reference: Reference, tmp_path: Path) -> None:
    result = encode_ladder(replace(_job(reference), quantity="crf", rungs=(30.0, 40.0)), tmp_path)
    assert [encode.value for encode in result.encodes] == [30, 40]
    assert result.encodes[0].kbps > result.encodes[1].kbps


def test_a_crf_between_whole_numbers_is_not_rounded(reference: Reference, tmp_path: Path) -> None:
    for codec in ("x264", "x265", "svt-av1"):  # those whose knob has finer steps
        job = replace(_job(reference, codec), quantity="crf", rungs=(30.0, 30.5, 31.0))
        rates = [encode.kbps for encode in encode_ladder(job, tmp_path).encodes]
        assert len(set(rates)) == 3


def test_lossless_copies_decode_to_the_same_frames(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for codec in ("x264", "vvenc"):  # 8 and 10 bit
        (encode,) = encode_ladder(_job(reference, codec, (150,), 0.5), tmp_path).encodes
        copy = lossless_copy(encode, tmp_path)
        with av.open(str(copy)) as ours, av.open(str(encode.path)) as theirs:
            for a, b in zip(ours.decode(video=0), theirs.decode(video=0), strict=True):
                assert (a.to_ndarray() == b.to_ndarray()).all()
    copy.unlink()
    hashes = iter("ab")
    monkeypatch.setattr(module.ffmpeg, "frame_hash", lambda path: next(hashes))
    with pytest.raises(ValueError, match=r"lossless copy of 'enc_res_vvenc_fast_cat_150.mp4' differs"):
        lossless_copy(encode, tmp_path)
    assert not copy.exists()


def test_a_crf_too_coarse_for_the_rate_gives_way_to_bitrates(reference: Reference, tmp_path: Path) -> None:
    job = _job(reference, rungs=(150,))
    coarse = replace(ENCODERS["x264"], search=replace(job.encoder.search, step=17))
    result = encode_ladder(replace(job, encoder=coarse), tmp_path)
    assert result.encodes[0].kbps == pytest.approx(150, rel=0.04)
    assert '"-b:v"' in (tmp_path / "encodes" / "x264_fast_cat_150.json").read_text()


def test_bitrates_that_jump_over_the_rate_give_way_to_crf(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.search

    def jumping(measure: object, knob: Knob, *more: object) -> dict[float, float]:
        return {150.0: 300.0, 100.0: 80.0} if knob == BITRATE else real(measure, knob, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "search", jumping)
    result = encode_ladder(_job(reference, "vp9", rungs=(150,), tolerance=0.1), tmp_path)
    assert result.encodes[0].kbps == pytest.approx(150, rel=0.1)
    assert '"-crf"' in (tmp_path / "encodes" / "vp9_fast_cat_150.json").read_text()
