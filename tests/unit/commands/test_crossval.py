"""`cvqa crossval` on a small table: planted signal, files that `cvqa evaluate` reads, one sentence per mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.commands.crossval import crossval
from cvqa_models.commands.evaluate import evaluate
from cvqa_models.inference.extract import extract_table

CONFIG = """
model:
  class_path: cvqa_models.models.multibranch.MultiBranch
  init_args:
    branches:
      table:
        class_path: cvqa_models.branches.table.Table
        init_args: {{path: {folder}/metrics.csv, columns: ['m*']}}
    loss:
        class_path: cvqa_models.losses.grouped.GroupLoss
        init_args: {{terms: {{plcc: 1.0, srocc: 1.0, anchor: 0.05}}}}
    recipe: {{lr_head: 0.03}}
    hidden: null
    norm: standard
"""
DATA = """
data:
  source: {{class_path: cvqa_models.data.manifest.Manifest, init_args: {{path: {folder}/manifest.csv}}}}
  store: {folder}/store
"""
SMALL = {"min_srocc": 6, "min_plcc": 6, "min_krocc": 6, "folds": 3, "seeds": 2, "steps": 8, "every": 4, "bootstrap": 50}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine references in two groups each; the label is the first of three columns and some noise."""
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    rows = [
        {"video_id": f"r{r}_{p}_{i}", "reference": f"r{r}", "group": f"r{r}/{p}", "m1": x[0], "m2": x[1], "m3": x[2]}
        for r in range(9)
        for p in ("fast", "slow")
        for i, x in enumerate(rng.normal(size=(6, 3)) * [30, 1, 0.1])
    ]
    frame = pd.DataFrame(rows)
    frame["mos"] = frame["m1"] / 30 + 0.2 * rng.normal(size=len(frame))
    frame.drop(columns=["m1", "m2", "m3"]).to_csv(folder / "manifest.csv", index=False)
    frame[["video_id", "m1", "m2", "m3"]].to_csv(folder / "metrics.csv", index=False)
    extract_table(folder / "metrics.csv", ["m*"], folder / "store")
    (folder / "nr.yaml").write_text(CONFIG.format(folder=folder) + DATA.format(folder=folder))
    (folder / "model.yaml").write_text(CONFIG.format(folder=folder))
    (folder / "data.yaml").write_text(DATA.format(folder=folder))
    return folder


@pytest.fixture(scope="module")
def found(table: Path) -> dict:
    """Two variants, with their files."""
    (table / "variants.yaml").write_text("signal: {}\nmlp: {model.hidden: 4, model.loss.terms.ranknet: 1.0}\n")
    return crossval(
        config=[table / "nr.yaml"],
        variants=table / "variants.yaml",
        out=table / "out",
        json=table / "out.json",
        **SMALL,  # type: ignore[arg-type]
    )


def test_a_planted_signal_is_found_and_reported(table: Path, found: dict) -> None:
    assert found == json.loads((table / "out.json").read_text())
    assert list(found["rows"]) == ["signal", "mlp", "mean of all"]
    row = found["rows"]["signal"]
    assert row["together"]["result"] > 0.85
    assert len(row["seeds"]["result"]) == len(row["last_step"]) == 2
    assert np.shape(row["decay"]) == np.shape(row["step"]) == np.shape(row["inner"]) == (3, 2)
    low, high = row["together"]["ci"]["result"]
    assert low <= row["together"]["result"] <= high
    assert found["differences"]["mlp"]["value"] == pytest.approx(
        found["rows"]["mlp"]["together"]["result"] - row["together"]["result"]
    )


def test_baselines_stand_beside_what_was_trained(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bitrate is in the table; of the level it is said why it is not there."""
    frame = pd.read_csv(table / "manifest.csv")
    frame["bitrate_kbps"] = 1000 + 100 * frame["mos"]
    frame.to_csv(table / "rates.csv", index=False)
    (table / "rates.yaml").write_text((table / "nr.yaml").read_text().replace("manifest.csv", "rates.csv"))
    found = crossval(config=[table / "rates.yaml"], decays=[0.1], **SMALL)  # type: ignore[arg-type]
    assert list(found["rows"]) == ["rates", "baseline: bitrate_kbps"]
    assert found["rows"]["baseline: bitrate_kbps"]["together"]["result"] == 1
    assert found["differences"]["baseline: bitrate_kbps"]["low"] > 0, "training gained nothing here"
    assert len(found["missing_baselines"]) == 1
    said = "baseline: compression_level is not shown: 108 of 108 videos have no file here"
    assert said in capsys.readouterr().out


def test_evaluate_reads_what_it_writes(table: Path, found: dict) -> None:
    files = [table / "out" / "signal.csv", table / "out" / "mlp.csv"]
    assert pd.read_csv(files[0])["video_id"].nunique() == 108
    again = evaluate(table / "manifest.csv", predictions=files, min_srocc=6, min_plcc=6, min_krocc=6, bootstrap=50)
    for name in ("signal", "mlp"):
        assert again["rows"][name]["result"] == pytest.approx(found["rows"][name]["together"]["result"])
    assert again["differences"]["mlp"]["low"] == pytest.approx(found["differences"]["mlp"]["low"])


def test_configurations_are_compared_and_share_a_data_file(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (table / "other.yaml").write_text((table / "model.yaml").read_text().replace("hidden: null", "hidden: 2"))
    found = crossval(
        config=[table / "model.yaml", table / "other.yaml"],
        data=table / "data.yaml",
        decays=[0.1],
        **SMALL,  # type: ignore[arg-type]
    )
    assert list(found["rows"]) == ["model", "other", "mean of all"]
    assert found["rows"]["model"]["decay"] == [[0.1, 0.1]] * 3
    assert "108 videos in 18 groups, all out of fold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"folds": 2}, "`--folds` is 2; expected at least 3"),
        ({"folds": 10}, "only 9 references; use fewer folds"),
        ({"seeds": 0}, "`--seeds` is 0; expected at least 1"),
        ({"every": 9}, "`--every` is 9 and `--steps` is 8"),
        ({"decays": [-1.0]}, r"`--decays` is \[-1.0\]"),
        ({"min_srocc": 7}, "Without fold 0 no group has the 7 videos that SROCC needs"),
    ],
)
def test_bad_arguments_are_one_sentence(table: Path, change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        crossval(config=[table / "nr.yaml"], **{**SMALL, **change})


def test_bad_files_are_one_sentence(table: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no configuration '.*gone.yaml'"):
        crossval(config=[table / "gone.yaml"])
    with pytest.raises(FileNotFoundError, match=r"There is no file of variants '.*gone.yaml'"):
        crossval(config=[table / "nr.yaml"], variants=table / "gone.yaml")
    for content in ("- mlp\n", "{}\n", "", "mlp: 3\n"):
        (table / "list.yaml").write_text(content)
        with pytest.raises(ValueError, match=r"list.yaml' holds no mapping of name -> values"):
            crossval(config=[table / "nr.yaml"], variants=table / "list.yaml")
    (table / "broken.yaml").write_text("mlp: {model.hidden: 4\n")
    with pytest.raises(ValueError, match=r"broken.yaml' is not YAML: .*line 2"):
        crossval(config=[table / "nr.yaml"], variants=table / "broken.yaml")
    (table / "other").mkdir()
    (table / "other" / "nr.yaml").touch()
    with pytest.raises(ValueError, match="2 `--config` files are called 'nr'"):
        crossval(config=[table / "nr.yaml", table / "other" / "nr.yaml"])
    (table / "typo.yaml").write_text("mlp: {model.hiden: 4}\n")
    with pytest.raises(ValueError, match="hiden"):
        crossval(config=[table / "nr.yaml"], variants=table / "typo.yaml")


def test_features_must_be_cached(table: Path) -> None:
    (table / "empty.yaml").write_text((table / "data.yaml").read_text().replace("/store", "/nothing"))
    with pytest.raises(ValueError, match=r"`table` takes measured values, .* lacks 108 videos .*; run `cvqa extract"):
        crossval(config=[table / "model.yaml"], data=table / "empty.yaml")


LEVEL = "class_path: cvqa_models.branches.compression_level.CompressionLevel, init_args: {width: 2, grid: [1, 1], "


@pytest.mark.parametrize(
    ("arguments", "cause", "way_out"),
    [
        ("frozen: false", r"branch `level` is trained \(`frozen: false`\)", "set `frozen: true`"),
        (
            "frozen: true",
            "branch `level` has no weights from a file and is drawn anew for every seed",
            "give it `weights`",
        ),
    ],
)
def test_a_branch_that_cannot_be_cached_is_no_missing_extraction(
    table: Path, arguments: str, cause: str, way_out: str
) -> None:
    text = (table / "nr.yaml").read_text().replace("branches:", f"branches:\n      level: {{{LEVEL}{arguments}}}}}")
    (table / "level.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"'level': {cause}.*{way_out}") as caught:
        crossval(config=[table / "level.yaml"], **SMALL)  # type: ignore[arg-type]
    assert "cvqa extract" not in str(caught.value)


def test_features_that_could_be_extracted_are_asked_for(table: Path) -> None:
    state = CompressionLevel(width=2).net.state_dict()
    torch.save({f"branches.level.net.{key}": value for key, value in state.items()}, table / "level.pt")
    level = f"level: {{{LEVEL}frozen: true, weights: {table / 'level.pt'}}}}}"
    (table / "kept.yaml").write_text((table / "nr.yaml").read_text().replace("branches:", f"branches:\n      {level}"))
    with pytest.raises(ValueError, match=r"'kept': the store lacks .* `level` \(108 of 108 videos, .*; run `cvqa e"):
        crossval(config=[table / "kept.yaml"], **SMALL)  # type: ignore[arg-type]


def test_labels_must_be_complete_and_the_same(table: Path) -> None:
    frame = pd.read_csv(table / "manifest.csv")
    frame.loc[0, "mos"] = np.nan
    frame.to_csv(table / "hole.csv", index=False)
    (table / "hole.yaml").write_text((table / "nr.yaml").read_text().replace("manifest.csv", "hole.csv"))
    with pytest.raises(ValueError, match="`mos` is missing for 1 of 108 videos"):
        crossval(config=[table / "hole.yaml"], **SMALL)  # type: ignore[arg-type]
    pd.read_csv(table / "manifest.csv").iloc[6:].to_csv(table / "fewer.csv", index=False)
    (table / "fewer.yaml").write_text((table / "nr.yaml").read_text().replace("manifest.csv", "fewer.csv"))
    with pytest.raises(ValueError, match="'fewer' lists other videos than the first configuration"):
        crossval(config=[table / "nr.yaml", table / "fewer.yaml"], **SMALL)  # type: ignore[arg-type]
