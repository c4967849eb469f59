"""Curves against scikit-learn and known parameters; intervals by how often they hold; checkpoints that carry both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cvqa_models.__main__ import call
from cvqa_models.commands import calibrate as command
from cvqa_models.inference.load import load
from cvqa_models.training.average import average
from cvqa_models.training.calibration import Calibration, fit_calibration, from_plain
from cvqa_models.training.checkpoint import load_model, read_checkpoint
from tests.unit.training.test_average import checkpoint

isotonic = pytest.importorskip("sklearn.isotonic")


def panel(sources: int, videos: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Raw scores, labels from 1 to 5 by a logistic curve with an error for each source and video, and sources."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(-1, 1, (sources, videos))
    mos = 1.5 + 3 / (1 + np.exp(-raw / 0.3)) + rng.normal(0, 0.15, (sources, 1)) + rng.normal(0, 0.1, raw.shape)
    return raw.ravel(), mos.clip(1, 5).ravel(), [f"s{number}" for number in range(sources) for _ in range(videos)]


def fitted(sources: int = 12, videos: int = 8, seed: int = 0, **options: Any) -> Calibration:
    raw, mos, names = panel(sources, videos, seed)
    return fit_calibration(raw, mos, names, names, (1, 5), **options)


def test_the_monotone_curve_is_isotonic_regression() -> None:
    raw, mos, _ = panel(12, 8)
    raw = raw.round(1)  # several videos share a score
    found = fit_calibration(raw, mos, panel(12, 8)[2], panel(12, 8)[2], (1, 5))
    expected = isotonic.IsotonicRegression(out_of_bounds="clip").fit(raw, mos)
    everywhere = np.linspace(-2, 2, 401)
    np.testing.assert_allclose([found(x)[0] for x in everywhere], expected.predict(everywhere), atol=1e-12)


def test_the_logistic_curve_is_found_again() -> None:
    raw = np.linspace(-1, 1, 60)
    mos = 1.5 + 3 / (1 + np.exp(-(raw - 0.1) / 0.3))
    names = [f"s{number % 10}" for number in range(60)]
    found = fit_calibration(raw, mos, names, names, (1, 5), curve="logistic")
    inside = np.linspace(-1, 1, 50)
    np.testing.assert_allclose([found(x)[0] for x in inside], 1.5 + 3 / (1 + np.exp(-(inside - 0.1) / 0.3)), atol=4e-3)
    assert found.radius < 4e-3


def test_scores_on_the_scale_already_stay_and_get_an_interval() -> None:
    rng = np.random.default_rng(0)
    mos = rng.uniform(10, 90, 200)
    names = [f"s{row % 40}" for row in range(200)]
    off = rng.uniform(-5, 5, 40)
    raw = mos + off[np.arange(200) % 40]  # each source is missed by its own number
    found = fit_calibration(raw.tolist(), mos.tolist(), names, names, (0, 100), curve="none")
    assert found(37.5)[0] == pytest.approx(37.5)
    assert (found(0)[:2], found(100)[0], found(100)[2]) == ((0, 0), 100, 100)
    assert found.radius == pytest.approx(np.quantile(np.abs(off), 0.9), abs=0.5)


@pytest.mark.parametrize("curve", ["monotone", "logistic"])
def test_the_interval_holds_as_many_videos_of_new_sources_as_it_says(curve: Any) -> None:
    held = []
    for seed in range(40):
        found = fitted(15, 6, seed, curve=curve, coverage=0.8)
        raw, mos, _ = panel(60, 6, seed + 1000)
        ends = [found(x)[1:] for x in raw]
        held.append(np.mean([low <= y <= high for (low, high), y in zip(ends, mos, strict=True)]))
    assert 0.8 <= np.mean(held) < 0.9, "by 15 sources, of which one in 16 counts as infinitely far"


def test_videos_of_one_source_count_as_one() -> None:
    """A source with 400 videos that lie far off does not widen the interval as 400 sources would."""
    raw, mos, names = panel(20, 4)
    many = np.linspace(-1, 1, 400)
    raw, mos = np.concatenate([raw, many]), np.concatenate([mos, np.full(400, 3.0) + 0.5 * many])
    found = fit_calibration(raw, mos, [*names, *["far"] * 400], [*names, *["far"] * 400], (1, 5), coverage=0.9)
    alone = fit_calibration(raw[:80], mos[:80], names, names, (1, 5), coverage=0.9)
    assert found.radius < 3 * alone.radius


def test_ends_and_intervals_stay_on_the_scale() -> None:
    found = fitted()
    assert found(-99)[0] == min(found.scale)
    assert found(99)[0] == max(found.scale)
    assert found(-99)[1] >= 1
    assert found(99)[2] <= 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coverage": 1.0}, r"`coverage` is 1\.0; expected a share above 0 and below 1"),
        ({"sources": ["a"] * 48 + ["b"] * 48}, r"come from 2 sources; an interval that holds 90% needs at least 9"),
        ({"ends": (5, 1)}, r"`scale` is 5 to 1; expected its lowest and its highest score"),
        ({"ends": (2, 4)}, r"A label is .* outside the scale of 2 to 4; give the panel's own scale"),
        ({"raw": np.full(96, np.nan)}, "A score is no finite number; predict again"),
        ({"raw": -panel(12, 8)[0]}, "Scores do not rise with the labels, so no curve"),
        ({"raw": np.zeros(96)}, "Scores do not rise with the labels"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(change: dict[str, Any], message: str) -> None:
    raw, mos, names = panel(12, 8)
    given: dict[str, Any] = {"raw": raw, "mos": mos, "sources": names, "groups": names, "ends": (1, 5)}
    with pytest.raises(ValueError, match=message):
        fit_calibration(**{**given, **change})


def test_scores_that_compare_inside_groups_only_have_no_scale() -> None:
    raw, mos, names = panel(12, 8)
    mos = mos.reshape(12, 8)
    centred = (mos - mos.mean(1, keepdims=True)).ravel()
    with pytest.raises(ValueError, match=r"All 12 groups have the mean label -?0\.000: these scores compare inside"):
        fit_calibration(raw, centred, names, names, (-5, 5))


def test_plain_values_come_back_and_others_are_refused() -> None:
    found = fitted()
    assert from_plain(found.plain()) == found
    plain = found.plain()
    bad: list[Any] = [None, {}, {**plain, "more": 1}, {**plain, "raw": 1}]
    for values in bad:
        with pytest.raises(ValueError, match="of the checkpoint is not valid; expected what `cvqa calibrate`"):
            from_plain(values)
    for change in ({"raw": (1,)}, {"radius": float("nan")}, {"coverage": "x"}, {"ends": (1, 2, 3)}, {"radius": True}):
        with pytest.raises(ValueError, match="needs two or more points of finite numbers"):
            from_plain({**plain, **change})
    with pytest.raises(ValueError, match="must rise, its curve must not fall, nor its radius be negative"):
        from_plain({**plain, "raw": plain["raw"][::-1]})


def tables(folder: Path, column: str = "score") -> tuple[Path, Path]:
    raw, mos, names = panel(12, 8)
    rows = list(zip([f"v{number}" for number in range(len(raw))], 50 + 50 * raw, mos, names, strict=True))
    predictions, scores = folder / "predictions.csv", folder / "scores.csv"
    extra = "" if column == "score" else f",{column}"
    predictions.write_text(
        f"video_id,score{extra}\n" + "".join(f"{v},{x if not extra else f'1,{x}'}\n" for v, x, *_ in rows)
    )
    scores.write_text("video_id,reference,group,mos\n" + "".join(f"{v},{s},{s},{y}\n" for v, _, y, s in rows))
    return predictions, scores


def words(folder: Path, path: Path, *more: str, scale: tuple[str, ...] = ("1", "5")) -> list[str]:
    out = str(folder / "calibrated.ckpt")
    predictions, scores = (str(file) for file in tables(folder, *more))
    return [str(path), "--predictions", predictions, "--scores", scores, "--scale", *scale, "--out", out]


def test_a_calibrated_checkpoint_scores_on_the_panels_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = checkpoint(tmp_path / "one.ckpt", 0.5)
    before = load(path, device="cpu")
    frames = np.random.default_rng(0).integers(0, 255, (12, 128, 128, 3), np.uint8)
    plain = before(frames, fps=10)
    call("calibrate", command.calibrate, words(tmp_path, path))
    told = capsys.readouterr().out
    assert "90% of the videos of a new source lie within" in told
    scorer = load(tmp_path / "calibrated.ckpt", device="cpu")
    score = scorer(frames, fps=10)
    assert score.details["uncalibrated"] == plain.value, "the network is the same"
    calibration = load_model(tmp_path / "calibrated.ckpt").calibration
    assert calibration is not None
    assert (score.value, *score.interval) == calibration(plain.value)
    assert 1 <= score.interval[0] < score.value < score.interval[1] <= 5
    assert scorer.scale.startswith("the panel's scale from 1 to 5, by 12 sources")
    with pytest.raises(ValueError, match="CompressionLevelModel has no calibration, so nobody knows how far"):
        _ = plain.interval
    average([path, tmp_path / "calibrated.ckpt"], tmp_path / "mean.ckpt")
    assert load_model(tmp_path / "mean.ckpt").calibration is None, "other weights have another curve"


def test_predictions_of_a_calibrated_checkpoint_calibrate_as_those_before(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "one.ckpt", 0.5)
    found = []
    for column in ("score", "uncalibrated"):
        call("calibrate", command.calibrate, words(tmp_path, path, column))
        found.append(read_checkpoint(tmp_path / "calibrated.ckpt")["calibration"])
    assert found[0] == found[1]


def test_mistakes_of_the_command_are_one_sentence_each(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "one.ckpt", 0.5)
    with pytest.raises(ValueError, match=r"`scale` is \[1\.0\]; expected two numbers"):
        call("calibrate", command.calibrate, words(tmp_path, path, scale=("1",)))
    with pytest.raises(FileNotFoundError, match=r"no file '.*absent\.ckpt'; check the path"):
        call("calibrate", command.calibrate, words(tmp_path, tmp_path / "absent.ckpt"))
    given = words(tmp_path, path)
    (tmp_path / "scores.csv").write_text("video_id,reference,group,mos\nother,a,a,2\n")
    with pytest.raises(ValueError, match="have no labelled video in common; give tables of one data set"):
        call("calibrate", command.calibrate, given)


def test_a_strangers_calibration_is_checked(tmp_path: Path) -> None:
    content = read_checkpoint(checkpoint(tmp_path / "one.ckpt", 0.5))
    torch.save({**content, "calibration": {"raw": "run"}}, tmp_path / "odd.ckpt")
    with pytest.raises(ValueError, match="`calibration` of the checkpoint is not valid"):
        load_model(tmp_path / "odd.ckpt")
