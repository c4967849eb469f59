import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from cvqa_models.commands import vote_questions, votes
from cvqa_models.data.manifest import read_manifest


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = [
        (f"{codec}_{preset}_park_{rate}", f"park/{preset}", "park", codec, preset, rate)
        for preset in ("fast", "medium")
        for codec in ("x264", "vp9", "vvenc")
        for rate in (100, 300, 900)
    ]
    table = pd.DataFrame(rows, columns=["video_id", "group", "reference", "codec", "preset", "bitrate_kbps"])
    table.to_csv(tmp_path / "manifest.csv", index=False)
    quality = 20 * np.log(table["bitrate_kbps"]) + table["codec"].map({"x264": 0, "vp9": 4, "vvenc": 9})
    table.assign(vmaf=quality)[["video_id", "vmaf"]].to_csv(tmp_path / "truth.csv", index=False)
    return tmp_path / "manifest.csv"


@pytest.mark.parametrize(("by", "sets"), [("group", 2), ("reference", 1)])
def test_from_simulated_viewers_to_a_manifest_with_scores(manifest: Path, by: votes.By, sets: int) -> None:
    folder = manifest.parent
    raw, kept, out = folder / "votes.csv", folder / "kept.csv", folder / "scored.csv"
    vote_questions.simulate(manifest, truth=folder / "truth.csv", out=raw, by=by, scale=5, voters=20, careless=0.2)
    votes.screen(raw, out=kept)
    assert pd.read_csv(folder / "kept_viewers.csv")["kept"].sum() == 16
    votes.scores(kept, out=out, videos=manifest, by=by)
    records = {one.video_id: one for one in read_manifest(out)}
    truth = pd.read_csv(folder / "truth.csv")
    assert len({one.group for one in records.values()}) == sets
    assert spearmanr([records[name].mos for name in truth["video_id"]], truth["vmaf"])[0] > 0.93
    assert (pd.read_csv(out)["std"] > 0).all()


def test_scores_without_a_table_of_videos(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(
        "group,left,right,answer\n" + "g,a,b,left\n" * 3 + "g,a,b,right\n" + "h,p,q,equal\n"
    )
    assert votes.scores(tmp_path / "v.csv", out=tmp_path / "s.csv") == 0
    table = pd.read_csv(tmp_path / "s.csv").set_index("video_id")
    assert table["score"]["a"] == pytest.approx(np.log(3), abs=0.01)
    assert table["score"]["p"] == table["score"]["q"] == 0


def test_what_is_only_unsure_is_said_and_leaves_nothing_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "v.csv").write_text("group,left,right,answer\n" + "g,a,b,left\n" * 3)
    assert votes.scores(tmp_path / "v.csv", out=tmp_path / "s.csv", json=tmp_path / "r.json") == 0
    assert "'a' won all its 3 comparisons" in caplog.text
    assert "'b' lost all its 3 comparisons" in caplog.text
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["left_out"] == []
    assert len(result["unsure"]) == 2


def test_videos_without_a_vote_are_counted(manifest: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = manifest.parent
    vote_questions.simulate(manifest, truth=folder / "truth.csv", out=folder / "v.csv")
    table = pd.read_csv(folder / "v.csv")
    silent = ["vp9_fast_park_300", "vvenc_fast_park_100"]
    kept = table[~table["left"].isin(silent) & ~table["right"].isin(silent)]
    kept.to_csv(folder / "v.csv", index=False)
    assert votes.scores(folder / "v.csv", out=folder / "s.csv", videos=manifest) == 2
    assert "2 of 18 videos have no vote that counts, 'vp9_fast_park_300' (first), and get no score." in caplog.text
    assert len(read_manifest(folder / "s.csv")) == 16

    caplog.clear()  # nor do answers that nobody understands count
    kept.assign(answer=kept["answer"].where(kept["group"] != "park/fast", "A")).to_csv(folder / "v.csv", index=False)
    assert votes.scores(folder / "v.csv", out=folder / "s.csv", videos=manifest) == 2
    assert "9 of 18 videos have no vote that counts" in caplog.text

    caplog.clear()  # a group that is left out is said once, with its reason
    linked = kept[(kept["group"] != "park/fast") | (kept["left"] + kept["right"]).str.count("x264").ne(1)]
    linked.to_csv(folder / "v.csv", index=False)
    assert votes.scores(folder / "v.csv", out=folder / "s.csv", videos=manifest) == 2
    assert "The group 'park/fast' is left out" in caplog.text
    assert "have no vote" not in caplog.text


def test_what_is_wrong_is_said_and_the_rest_scored(manifest: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = manifest.parent
    vote_questions.simulate(manifest, truth=folder / "truth.csv", out=folder / "v.csv")
    table = pd.read_csv(folder / "v.csv")
    first, other = table["left"][0], table.loc[table["group"] != table["group"][0], "left"].iloc[0]
    extra = pd.DataFrame({"left": [first, first], "right": ["nobody", other], "answer": ["left", "right"]})
    pd.concat([table, extra]).to_csv(folder / "v.csv", index=False)
    assert votes.scores(folder / "v.csv", out=folder / "s.csv", videos=manifest) == 2
    assert "1 unknown videos, 'nobody'; their votes" in caplog.text
    assert "1 votes compare videos of different sets" in caplog.text
    assert len(read_manifest(folder / "s.csv")) == 18


def test_questions_are_a_pair_list_with_verification(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = manifest.parent / "q.csv"
    vote_questions.questions(manifest, out=out, share=0.3)
    assert " questions, 6 of verification: " in capsys.readouterr().out
    table = pd.read_csv(out)
    assert list(table.columns) == ["group", "left", "right", "expected"]
    assert table["expected"].notna().sum() == 6
    vote_questions.questions(manifest, out=out, verification=False)
    assert len(pd.read_csv(out)) == 2 * 9 * 8 // 2


@pytest.mark.parametrize("lacking", ["codec", "bitrate_kbps"])
def test_that_nobody_can_be_screened_is_said(
    manifest: Path, lacking: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pd.read_csv(manifest).drop(columns=lacking).to_csv(manifest, index=False)
    vote_questions.questions(manifest, out=manifest.parent / "q.csv", json=manifest.parent / "r.json")
    assert "72 questions, 0 of verification: " in capsys.readouterr().out
    assert "manifest.csv' gives no verification question, so careless viewers cannot be screened" in caplog.text
    assert json.loads((manifest.parent / "r.json").read_text())["verification"] == 0
    caplog.clear()
    vote_questions.questions(manifest, out=manifest.parent / "q.csv", verification=False)
    assert not caplog.text


def test_refusals(manifest: Path) -> None:
    folder = manifest.parent
    with pytest.raises(ValueError, match="`share` is 2"):
        vote_questions.questions(manifest, out=folder / "q.csv", share=2)
    with pytest.raises(ValueError, match="`voters` must be at least 1"):
        vote_questions.simulate(manifest, truth=folder / "truth.csv", out=folder / "v.csv", voters=0)
    (folder / "short.csv").write_text("video_id,vmaf\nx264_fast_park_100,30\n")
    with pytest.raises(ValueError, match=r"has no row for 17 videos \(first: 'x264_fast_park_300'\)"):
        vote_questions.simulate(manifest, truth=folder / "short.csv", out=folder / "v.csv")
    with pytest.raises(ValueError, match="`by` reference needs `videos`"):
        votes.scores(folder / "v.csv", out=folder / "s.csv", by="reference")
    (folder / "split.csv").write_text("group,left,right,answer\ng,a,b,left\ng,c,d,left\n")
    with pytest.raises(ValueError, match=r"no group could be scored\. The group 'g' is left out"):
        votes.scores(folder / "split.csv", out=folder / "s.csv")
    (folder / "bad.csv").write_text("participant,group,left,right,expected,answer\np,g,a,b,left,right\n")
    with pytest.raises(ValueError, match="All 1 viewers failed"):
        votes.screen(folder / "bad.csv", out=folder / "k.csv")


def test_the_next_questions_go_on_from_the_votes_so_far(manifest: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = manifest.parent
    vote_questions.questions(manifest, out=folder / "first.csv", share=0.0, verification=False)
    vote_questions.simulate(manifest, truth=folder / "truth.csv", out=folder / "state.csv", voters=1)
    state = pd.read_csv(folder / "state.csv", dtype=str)
    odd = state.iloc[:1].assign(answer="dunno")
    unknown = state.iloc[:1].assign(left="nobody")
    pd.concat([state, odd, unknown]).to_csv(folder / "state.csv", index=False)
    vote_questions.questions(
        manifest, out=folder / "next.csv", adaptive=folder / "state.csv", verification=False, json=folder / "n.json"
    )
    asked = pd.read_csv(folder / "next.csv")
    assert asked.groupby("group").size().to_dict() == {"park/fast": 8, "park/medium": 8}
    assert json.loads((folder / "n.json").read_text())["count"] == 16
    assert "1 votes are dropped, whose answers are none of left, right, equal." in caplog.text
    assert "The votes name 1 unknown videos, 'nobody'; their votes are dropped." in caplog.text
    vote_questions.questions(manifest, out=folder / "checked.csv", adaptive=folder / "state.csv")
    assert pd.read_csv(folder / "checked.csv")["expected"].notna().sum() == 6


def test_a_state_that_says_nothing_is_refused(manifest: Path) -> None:
    folder = manifest.parent
    with pytest.raises(ValueError, match=r"`share` is 0\.5, but `adaptive` chooses the pairs; leave one of them out"):
        vote_questions.questions(manifest, out=folder / "n.csv", adaptive=manifest, share=0.5)
    with pytest.raises(FileNotFoundError, match=r"There is no table of votes '.*gone\.csv'"):
        vote_questions.questions(manifest, out=folder / "n.csv", adaptive=folder / "gone.csv")
    (folder / "state.csv").write_text("left,right,answer\na,b,left\n")
    with pytest.raises(
        ValueError, match=r"state\.csv' holds no vote on two of these videos that counts; give the votes"
    ):
        vote_questions.questions(manifest, out=folder / "n.csv", adaptive=folder / "state.csv")
    assert not (folder / "n.csv").exists()
