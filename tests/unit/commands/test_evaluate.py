"""The command on small tables: what it writes, and one sentence for each bad input."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cvqa_models.commands.evaluate import evaluate
from cvqa_models.metrics.ensemble import combine
from cvqa_models.metrics.group_score import evaluate as group_evaluate

CODECS = ["x264", "x265", "vvc", "av1", "vp9", "xin"]
SEQUENCES = ["city", "river", "forest"]
KEYS = ["codec", "preset", "sequence", "crf"]
VIDEOS = [(codec, "fast", name, crf) for name in SEQUENCES for codec in CODECS for crf in (1000, 2000, 4000)]
IDS = ["_".join(map(str, video)) for video in VIDEOS]
GROUPS = [f"{name}/fast" for _, _, name, _ in VIDEOS]
MOS = np.random.default_rng(0).normal(size=len(VIDEOS)) + np.log2([video[3] for video in VIDEOS])
Scores = dict[str, object]


def write(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    rows = [[*video, video[3] * 1.1, score] for video, score in zip(VIDEOS, MOS.tolist(), strict=True)]
    return write(tmp_path / "labels.csv", [*KEYS, "real_bitrate", "subjective_score"], rows)


def noisy(seed: int, noise: float = 1.0) -> np.ndarray:
    return MOS + noise * np.random.default_rng(seed).normal(size=len(MOS))


@pytest.fixture
def predict(tmp_path: Path) -> Callable[..., Path]:
    def file(
        scores: np.ndarray | None = None, name: str = "model", change: Callable[[Scores], None] | None = None
    ) -> Path:
        rows: Scores = dict(zip(IDS, noisy(1).tolist() if scores is None else scores.tolist(), strict=True))
        if change:
            change(rows)
        return write(tmp_path / f"{name}.csv", ["video_id", "score"], [[key, value] for key, value in rows.items()])

    return file


def test_labels_as_spreadsheets_write_them_give_the_same_numbers(tmp_path, labels, predict) -> None:
    expected = evaluate(labels, predictions=[predict()], bootstrap=0)
    foreign = tmp_path / "foreign.csv"
    foreign.write_text(labels.read_text().replace(",", ";").replace(".", ","), encoding="utf-16")
    assert evaluate(foreign, predictions=[predict()], bootstrap=0) == expected
    with pytest.raises(ValueError, match="expected a finite number"):
        evaluate(foreign, predictions=[predict()], bootstrap=0, decimal=".")
    with pytest.raises(ValueError, match="has no column"):
        evaluate(foreign, predictions=[predict()], bootstrap=0, delimiter="|")


def test_names_of_metrics_are_shown_as_they_are(tmp_path, capsys) -> None:
    names = ["[red]NR a[/]", "[/b]", ":car:", "=cmd", "a\x1b[2Jb"]
    rows = [
        [*video, score, *noisy(1)[[place] * 5]] for place, (video, score) in enumerate(zip(VIDEOS, MOS, strict=True))
    ]
    evaluate(table=write(tmp_path / "t.csv", [*KEYS, "subjective_score", *names], rows), bootstrap=0)
    shown = capsys.readouterr().out
    for name in ("[red]NR a[/]", "[/b]", ":car:", "=cmd", r"a\x1b[2Jb"):
        assert f" {name} " in shown


def test_json_of_one_file(tmp_path, labels, predict) -> None:
    evaluate(labels, predictions=[predict()], json=tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    expected = group_evaluate(GROUPS, MOS, noisy(1))
    assert {key: found[key] for key in ("srocc", "plcc", "krocc", "result")} == pytest.approx(
        {key: getattr(expected, key) for key in ("srocc", "plcc", "krocc", "result")}
    )
    assert found["videos"] == 54
    assert found["groups"][0] == pytest.approx(
        {"group": "city/fast", "n": 18, **{k: getattr(expected.groups[0], k) for k in ("srocc", "plcc", "krocc")}}
    )
    for metric in ("srocc", "plcc", "krocc", "result"):
        low, high = found["ci"][metric]
        assert low <= found[metric] <= high
    rates = np.array([video[3] for video in VIDEOS], dtype=float)
    assert found["bitrate_kbps"]["result"] == pytest.approx(group_evaluate(GROUPS, MOS, rates).result)


def test_several_files_are_compared_in_pairs(labels, predict, capsys) -> None:
    files = [predict(noisy(1, 3), "rough"), predict(noisy(1, 0.3), "fine")]
    found = evaluate(labels, predictions=files)
    assert list(found["rows"]) == ["rough", "fine", "bitrate_kbps"]
    assert found["difference_to"] == "rough"
    gap = found["differences"]["fine"]
    assert gap["value"] == pytest.approx(found["rows"]["fine"]["result"] - found["rows"]["rough"]["result"])
    assert 0 < gap["low"] <= gap["value"] <= gap["high"]
    assert gap["probability"] == 1
    shown = capsys.readouterr().out
    assert "rough" in shown
    assert "fine" in shown


def test_the_seed_decides_the_interval(labels, predict) -> None:
    file = predict()
    first, again = (evaluate(labels, predictions=[file], bootstrap=50, seed=3) for _ in range(2))
    assert first == again
    assert evaluate(labels, predictions=[file], bootstrap=0)["ci"] == {}


def test_a_panel_of_several_references_has_an_interval(tmp_path, predict, monkeypatch, caplog) -> None:
    """As one group, whose videos are drawn by reference: wider than if each video were drawn alone."""
    monkeypatch.setattr("cvqa_models.evaluation.evaluate.MANY", 53)
    caplog.set_level("INFO")
    widths = []
    for references in (GROUPS, IDS):
        rows = [[name, "panel", own, score] for name, own, score in zip(IDS, references, MOS, strict=True)]
        manifest = write(tmp_path / "manifest.csv", ["video_id", "group", "reference", "mos"], rows)
        shifted = noisy(1) + np.repeat([0.0, 3, 6], 18)  # its error is common to a reference
        found = evaluate(manifest, predictions=[predict(shifted)])
        assert f"{len(set(references))} references are resampled, which takes minutes" in caplog.text
        low, high = found["ci"]["result"]
        assert low < found["signed"]["result"] < high
        widths.append(high - low)
    assert widths[0] != widths[1]


def test_a_manifest_is_read_as_well(tmp_path, predict) -> None:
    rows = [[name, group, group, score] for name, group, score in zip(IDS, GROUPS, MOS, strict=True)]
    manifest = write(tmp_path / "manifest.csv", ["video_id", "group", "reference", "mos"], rows)
    found = evaluate(manifest, predictions=[predict()])
    assert found["result"] == pytest.approx(group_evaluate(GROUPS, MOS, noisy(1)).result)
    assert "bitrate_kbps" not in found


def test_whole_groups_may_be_left_out_and_it_is_said(labels, predict, caplog) -> None:
    def drop(rows: Scores) -> None:
        for name in IDS[:18]:
            del rows[name]

    with caplog.at_level("INFO"):
        found = evaluate(labels, predictions=[predict(change=drop)])
    assert found["videos"] == 36
    assert "evaluated 36 of the table's 54 videos" in caplog.text


def test_files_of_one_name_keep_their_folder(tmp_path, labels, predict) -> None:
    (tmp_path / "other").mkdir()
    files = [predict(), predict(noisy(2), "other/model")]
    assert list(evaluate(labels, predictions=files)["rows"])[:2] == [str(file) for file in files]


def test_table_scores_every_column_of_numbers(tmp_path) -> None:
    rows = [
        [*video, score, noise, -noise, "note"]
        for video, score, noise in zip(VIDEOS, MOS.tolist(), noisy(1).tolist(), strict=True)
    ]
    table = write(tmp_path / "metrics.csv", [*KEYS, "subjective_score", "up", "down", "comment"], rows)
    found = evaluate(table=table)["rows"]
    assert list(found) == ["up", "down"]
    assert (
        found["up"]["result"] == found["down"]["result"] == pytest.approx(group_evaluate(GROUPS, MOS, noisy(1)).result)
    )
    assert found["up"]["signed"]["result"] == -found["down"]["signed"]["result"] == found["up"]["result"]


def test_a_reversed_model_keeps_its_official_figures_and_is_said_to_be_reversed(labels, predict, capsys) -> None:
    scores = noisy(1)
    scores[:36] = -scores[:36]  # city and river, not forest
    found = evaluate(labels, predictions=[predict(-MOS, "minus"), predict(scores, "mixed"), predict()])["rows"]
    expected = group_evaluate(GROUPS, MOS, scores)
    assert found["minus"]["result"] == 1
    assert found["minus"]["signed"] == dict.fromkeys(("srocc", "plcc", "krocc", "result"), -1)
    assert found["minus"]["ci"]["result"] == [-1, -1]
    assert found["mixed"]["srocc"] == -found["mixed"]["signed"]["srocc"] == pytest.approx(-expected.srocc)
    assert found["mixed"]["against"] == ["city/fast", "river/fast"]
    low, high = found["mixed"]["ci"]["result"]
    assert low < found["mixed"]["signed"]["result"] < high
    assert found["model"]["against"] == []
    shown = capsys.readouterr().out
    assert "minus: REVERSED: pooled SROCC -1.0000, PLCC -1.0000, KROCC -1.0000." in shown
    assert "minus: against the subjective scores in 3 of 3 groups" in shown
    assert "mixed: against the subjective scores in 2 of 3 groups (lowest coefficient): city/fast (-0." in shown
    assert "model: REVERSED" not in shown


def test_differences_to_a_reversed_model_are_signed(labels, predict) -> None:
    found = evaluate(labels, predictions=[predict(noisy(1), "good"), predict(-noisy(1), "minus")])
    assert found["rows"]["good"]["result"] == pytest.approx(found["rows"]["minus"]["result"])
    gap = found["differences"]["minus"]
    assert gap["value"] == pytest.approx(-2 * found["rows"]["good"]["result"])
    assert gap["low"] < gap["value"] < gap["high"] < 0


def test_an_ensemble_of_opposite_orders_is_said_to_cancel(labels, predict, caplog) -> None:
    files = [predict(noisy(1, 0.3), "one"), predict(-noisy(2, 0.3), "minus"), predict(noisy(3, 0.3), "two")]
    evaluate(labels, predictions=files, ensemble=True)
    said = [line for line in caplog.messages if "ensemble" in line]
    assert [line.partition(" order videos in opposite ways (correlation -0.9")[0] for line in said] == [
        "ensemble: one and minus",
        "ensemble: minus and two",
    ]
    caplog.clear()
    turned = evaluate(labels, predictions=files, ensemble=True, lower_is_better=["minus"])["rows"]
    assert not caplog.messages
    expected = combine(GROUPS, np.stack([noisy(1, 0.3), noisy(2, 0.3), noisy(3, 0.3)], axis=1))
    assert turned["ensemble"]["signed"]["result"] == pytest.approx(group_evaluate(GROUPS, MOS, expected).result)
    assert turned["minus"]["turned"]


def test_a_reversed_member_gets_no_weight(tmp_path, labels, predict, caplog) -> None:
    files = [predict(noisy(1, 0.3), "one"), predict(-noisy(2, 0.1), "minus")]
    evaluate(labels, predictions=files, fit=tmp_path / "weights.json")
    assert json.loads((tmp_path / "weights.json").read_text()) == {"one": 1, "minus": 0}
    assert "ensemble: minus got weight 0" in caplog.text


def test_lower_is_better_must_name_a_column(labels, predict) -> None:
    with pytest.raises(
        ValueError, match=r"`--lower-is-better` names 'modle' \(near: 'model'\), which is not evaluated"
    ):
        evaluate(labels, predictions=[predict()], lower_is_better=["modle"])


def test_an_empty_cell_costs_its_column_and_not_the_table(tmp_path, labels, caplog) -> None:
    rows = [[name, value, value] for name, value in zip(IDS, noisy(1).tolist(), strict=True)]
    rows[3][1] = ""
    table = write(tmp_path / "t.csv", ["video_id", "hole", "whole"], rows)
    found = evaluate(labels, table=table, json=tmp_path / "out.json")
    assert list(found["rows"]) == ["whole", "bitrate_kbps"]
    assert found["left_out"] == [f"'{table}' row 4: `hole` is '', expected a finite number"]
    assert json.loads((tmp_path / "out.json").read_text()) == found
    assert caplog.messages[-1] == f"left out: {found['left_out'][0]}."


def test_json_is_there_though_the_table_cannot_be_printed(tmp_path, labels, predict, monkeypatch) -> None:
    def broken(*words: object, **options: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("rich.console.Console.print", broken)
    with pytest.raises(BrokenPipeError):
        evaluate(labels, predictions=[predict()], json=tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["videos"] == 54


def test_a_constant_group_is_named(labels, predict, capsys) -> None:
    scores = noisy(1)
    scores[:18] = 0.5
    file = predict(scores)
    zero = evaluate(labels, predictions=[file])
    skip = evaluate(labels, predictions=[file], constant="skip")
    assert zero["unscored"] == skip["unscored"] == ["city/fast"]
    assert zero["groups"][0]["srocc"] is None
    assert zero["result"] < skip["result"]
    assert "constant in 1 groups, which it cannot rank: city/fast" in capsys.readouterr().out


def test_ensemble_is_a_row_and_a_file(tmp_path, labels, predict) -> None:
    columns = np.stack([noisy(1), 100 * noisy(2)], axis=1)
    files = [predict(columns[:, 0], "one"), predict(columns[:, 1], "two")]
    found = evaluate(labels, predictions=files, ensemble=True, out=tmp_path / "both.csv")
    expected = group_evaluate(GROUPS, MOS, combine(GROUPS, columns)).result
    assert found["rows"]["ensemble"]["result"] == pytest.approx(expected)
    assert evaluate(labels, predictions=[tmp_path / "both.csv"])["result"] == pytest.approx(expected)


def test_ensemble_weights_are_fitted_written_and_read(tmp_path, labels, predict) -> None:
    files = [predict(noisy(1, 0.2), "fine"), predict(noisy(2, 3), "rough")]
    fitted = evaluate(labels, predictions=files, fit=tmp_path / "weights.json")
    weights = json.loads((tmp_path / "weights.json").read_text())
    assert weights["fine"] > 0.8
    again = evaluate(labels, predictions=files[::-1], weights=tmp_path / "weights.json")
    assert again["rows"]["ensemble"]["result"] == pytest.approx(fitted["rows"]["ensemble"]["result"])


def test_weights_fitted_on_validation_serve_the_test_videos(tmp_path, labels, predict) -> None:
    """Each reference is one group of 18; two validate, the third tests."""

    def side(name: str, rows: slice, noises: tuple[float, float]) -> list[Path]:
        (tmp_path / name).mkdir()
        files = []
        for model, noise in zip(("fine", "rough"), noises, strict=True):
            kept = dict(zip(IDS[rows], noisy(len(model), noise)[rows].tolist(), strict=True))
            pairs = [[key, value] for key, value in kept.items()]
            files.append(write(tmp_path / name / f"{model}.csv", ["video_id", "score"], pairs))
        return files

    evaluate(labels, predictions=side("val", slice(0, 36), (0.3, 1.0)), fit=tmp_path / "weights.json")
    tested = side("test", slice(36, 54), (0.3, 1.0))
    found = evaluate(labels, predictions=tested, weights=tmp_path / "weights.json", out=tmp_path / "both.csv")
    weights = json.loads((tmp_path / "weights.json").read_text())
    columns = np.stack([noisy(len(model), noise)[36:] for model, noise in (("fine", 0.3), ("rough", 1.0))], axis=1)
    expected = combine(GROUPS[36:], columns, [weights["fine"], weights["rough"]])
    with (tmp_path / "both.csv").open() as file:
        written = {row["video_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert [written[name] for name in IDS[36:]] == pytest.approx(expected.tolist())
    assert found["rows"]["ensemble"]["videos"] == 18


def test_ladder_and_pairs_are_added(tmp_path, labels, predict) -> None:
    rates = np.log([video[3] for video in VIDEOS])
    pairs = [[IDS[0], IDS[1], 2, "source"], [IDS[2], IDS[1], 1, "nonsource"], [IDS[2], IDS[0], 2, "nonsource"]]
    file = write(tmp_path / "pairs.csv", ["first", "second", "winner", "kind"], pairs)
    found = evaluate(labels, predictions=[predict(rates)], ladder=True, pairs=file)
    assert found["ladder_order"] == found["ladder_order vvc/fast"] == 1
    kinds = [found[f"rate_error_log2 {codec}/fast"] for codec in CODECS]
    assert min(kinds) <= found["rate_error_log2"] <= max(kinds)
    assert (found["pairs source"], found["pairs nonsource"]) == (1, 0.5)
    r = np.corrcoef(MOS, rates)[0, 1]
    from scipy.stats import spearmanr

    assert found["kvq"] == pytest.approx(0.45 * (r + spearmanr(MOS, rates)[0]) + 0.05 * 1.5)


def test_wrong_predictions_stay_wrong_on_ladders(labels, predict) -> None:
    rates = np.log([video[3] for video in VIDEOS])
    assert evaluate(labels, predictions=[predict(-rates)], ladder=True)["ladder_order"] == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_metrics_are_turned_by_what_they_are_and_not_by_the_data(tmp_path, sign) -> None:
    """With `sign` -1 people prefer what the metrics do not: nothing is turned any other way for that."""
    columns = zip(VIDEOS, (sign * MOS).tolist(), noisy(1, 0.1).tolist(), strict=True)
    rows = [[*video, video[3], mos, metric, -metric, -metric] for video, mos, metric in columns]
    header = [*KEYS, "real_bitrate", "subjective_score", "up", "NR LPIPS-x", "unknown"]
    table = write(tmp_path / "metrics.csv", header, rows)
    for given in ([], ["unknown"]):
        found = evaluate(table=table, ladder=True, lower_is_better=given)["rows"]
        right = np.mean(np.diff(noisy(1, 0.1).reshape(-1, 3), axis=1) > 0)
        for name, turned in (("up", False), ("NR LPIPS-x", True), ("unknown", bool(given))):
            agrees = name != "unknown" or turned
            assert found[name]["turned"] == turned
            assert np.sign(found[name]["signed"]["result"]) == (sign if agrees else -sign)
            assert found[name]["ladder_order"] == pytest.approx(right if agrees else 1 - right)
            assert found[name]["result"] == pytest.approx(found["up"]["result"])


def change_id(rows: Scores) -> None:
    rows["x264_fst_city_1000"] = rows.pop("x264_fast_city_1000")


def constant(rows: Scores) -> None:
    rows.update(dict.fromkeys(rows, 0.5))


def put(value: object) -> Callable[[Scores], None]:
    return lambda rows: rows.update({IDS[3]: value})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows.pop(IDS[3]), r"no score for 1 of 54 videos .*'x265_fast_city_1000'.*predict them too"),
        (
            change_id,
            r"1 of 54 videos that the label table does not have: 'x264_fst_city_1000' \(near: 'x264_fast_city_1000'\)",
        ),
        (constant, r"all 54 scores are 0.5; a constant ranks nothing"),
        (put("nan"), r"row 4: `score` is 'nan', expected a finite number"),
        (put("inf"), r"row 4: `score` is 'inf', expected a finite number"),
        (put(""), r"row 4: `score` is '', expected a finite number"),
    ],
    ids=["missing", "unknown", "constant", "nan", "infinite", "empty"],
)
def test_bad_predictions_are_one_sentence(labels, predict, change, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        evaluate(labels, predictions=[predict(change=change)])


def test_duplicate_predictions_are_refused(tmp_path, labels) -> None:
    rows = [[name, score] for name, score in zip([*IDS, IDS[0]], [*noisy(1), 0.1], strict=True)]
    with pytest.raises(ValueError, match="row 55: 'x264_fast_city_1000' stands twice"):
        evaluate(labels, predictions=[write(tmp_path / "p.csv", ["video_id", "score"], rows)])


def test_groups_that_are_too_small_are_refused(tmp_path, predict) -> None:
    def some(*numbers: int) -> Path:
        rows = [[IDS[k], GROUPS[k], "r", MOS[k]] for k in numbers]
        return write(tmp_path / "few.csv", ["video_id", "group", "reference", "mos"], rows)

    def only(*numbers: int) -> Path:
        return write(tmp_path / "p.csv", ["video_id", "score"], [[IDS[k], noisy(1)[k]] for k in numbers])

    with pytest.raises(ValueError, match="No group has 3 videos whose subjective scores differ"):
        evaluate(some(0), predictions=[only(0)])
    with pytest.raises(
        ValueError, match=r"No group has the 15 videos that SROCC needs; the largest has 6.*--min-srocc"
    ):
        evaluate(some(*range(6)), predictions=[only(*range(6))])
    found = evaluate(some(*range(6)), predictions=[only(*range(6))], min_srocc=6)
    assert found["ci"] == {}  # one reference: nothing to resample


def test_unlabelled_predictions_are_refused(tmp_path, predict) -> None:
    rows = [[name, group, ""] for name, group in zip(IDS, GROUPS, strict=True)]
    manifest = write(tmp_path / "manifest.csv", ["video_id", "group", "mos"], rows)
    with pytest.raises(ValueError, match="None of the predicted videos has a subjective score"):
        evaluate(manifest, predictions=[predict()])


def test_bad_tables_are_refused(tmp_path, labels) -> None:
    with pytest.raises(ValueError, match="neither `video_id` nor codec, preset, sequence, crf"):
        evaluate(labels, table=write(tmp_path / "t.csv", ["name", "psnr"], [["a", 1]]))
    with pytest.raises(ValueError, match="no column of numbers besides the labels"):
        evaluate(table=labels)
    with pytest.raises(ValueError, match="'a' stands twice"):
        evaluate(labels, table=write(tmp_path / "t.csv", ["video_id", "psnr"], [["a", 1], ["a", 2]]))
    with pytest.raises(ValueError, match=r"no column of numbers .* that is whole: .* row 2: `psnr` is 'n/a'"):
        evaluate(labels, table=write(tmp_path / "t.csv", ["video_id", "psnr"], [["a", 1], ["b", "n/a"]]))


def test_bad_options_are_refused(tmp_path, labels, predict) -> None:
    file = predict()
    with pytest.raises(ValueError, match="Give either `--predictions` or `--table`"):
        evaluate(labels)
    with pytest.raises(ValueError, match="`--scores` is missing"):
        evaluate(predictions=[file])
    with pytest.raises(ValueError, match="An ensemble needs at least 2"):
        evaluate(labels, predictions=[file], ensemble=True)
    files = [file, predict(noisy(2), "two")]
    with pytest.raises(FileNotFoundError, match=r"no weights file .*--fit"):
        evaluate(labels, predictions=files, weights=tmp_path / "none.json")
    (tmp_path / "w.json").write_text('{"model": 1}')
    with pytest.raises(ValueError, match=r"weights for \['model'\]; expected exactly \['model', 'two'\]"):
        evaluate(labels, predictions=files, weights=tmp_path / "w.json")
    with pytest.raises(ValueError, match="exclude each other"):
        evaluate(labels, predictions=files, weights=tmp_path / "w.json", fit=tmp_path / "w.json")
    (tmp_path / "w.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="is no JSON object of file name -> weight"):
        evaluate(labels, predictions=files, weights=tmp_path / "w.json")
    (tmp_path / "pairs.xlsx").touch()
    with pytest.raises(ValueError, match="save its sheets as one CSV"):
        evaluate(labels, predictions=[file], pairs=tmp_path / "pairs.xlsx")
    with pytest.raises(FileNotFoundError, match="labels2"):
        evaluate(tmp_path / "labels2.csv", predictions=[file])


def test_ladders_need_bitrates(tmp_path, predict) -> None:
    rows = [[name, group, group, score] for name, group, score in zip(IDS, GROUPS, MOS, strict=True)]
    manifest = write(tmp_path / "manifest.csv", ["video_id", "group", "reference", "mos"], rows)
    with pytest.raises(ValueError, match="`--ladder` needs bitrates"):
        evaluate(manifest, predictions=[predict()], ladder=True)


def test_the_organisers_pool_may_leave_nothing(tmp_path) -> None:
    rows = [["x264", "fast", "blue-hair-ugc", crf, crf / 1000, crf / 900] for crf in (1000, 2000, 4000)]
    table = write(tmp_path / "t.csv", [*KEYS, "subjective_score", "psnr"], rows)
    with pytest.raises(ValueError, match="pool leaves no video"):
        evaluate(table=table, as_notebook=True)
