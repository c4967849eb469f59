"""Canonical tables and the sources built on them."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from cvqa_models.data.adapters.cvqad import Cvqad
from cvqa_models.data.manifest import (
    Folder,
    Manifest,
    Mixed,
    check_unique,
    read_manifest,
    read_table,
    read_table_ids,
    write_manifest,
)
from cvqa_models.types import VideoRecord

CVQAD = "codec,preset,sequence,crf,subjective_score\nx264,fast,a,100,0.5\nx265,fast,a,100,1.5\n"


def manifest(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "set.csv"
    path.write_text(text)
    return path


def test_what_is_missing_has_a_safe_meaning(tmp_path: Path) -> None:
    (record,) = read_manifest(manifest(tmp_path, "video_id,path\nv,sub/v.mp4\n"))
    assert record.path == str(tmp_path / "sub/v.mp4")
    assert (record.group, record.reference, record.weight, record.split) == ("set", "v", 1.0, "")
    assert math.isnan(record.mos)


def test_writing_and_reading_agree(tmp_path: Path) -> None:
    table = pd.DataFrame({"video_id": ["a", "b"], "mos": [0.1, 2.0], "group": ["g", "g"], "technical": [1, 2]})
    write_manifest(tmp_path / "m.csv", table)
    header = (tmp_path / "m.csv").read_text().splitlines()[0]
    assert header == "video_id,path,reference,group,codec,preset,bitrate_kbps,mos,split,weight,std,technical"
    assert [record.mos for record in read_manifest(tmp_path / "m.csv")] == [0.1, 2.0]
    assert [record.mos for record in Manifest(str(tmp_path / "m.csv"), target="technical").records()] == [1.0, 2.0]


def test_lower_is_better_turns_the_score(tmp_path: Path) -> None:
    path = manifest(tmp_path, "video_id,mos\na,1\nb,3\n")
    assert [record.mos for record in Manifest(str(path), higher_is_better=False).records()] == [-1.0, -3.0]


def test_sure_labels_weigh_more_inside_their_group(tmp_path: Path) -> None:
    path = manifest(tmp_path, "video_id,group,std,weight\na,g,1,1\nb,g,2,1\nc,g,4,3\nd,h,9,1\n")
    assert [record.weight for record in Manifest(str(path), weigh_by_std=True).records()] == [4.0, 1.0, 0.75, 1.0]
    assert [record.weight for record in Manifest(str(path)).records()] == [1.0, 1.0, 3.0, 1.0]
    path = manifest(tmp_path, "video_id,std\na,1\nb,\n")
    with pytest.raises(ValueError, match=r"`std` is no positive number for 1 of 2 videos \(first: 'b'\)"):
        Manifest(str(path), weigh_by_std=True).records()


def test_sources_of_full_reference_systems(tmp_path: Path) -> None:
    records = read_manifest(manifest(tmp_path, "video_id,reference_path\na,src/a.y4m\nb,\n"))
    assert [record.reference_path for record in records] == [str(tmp_path / "src/a.y4m"), None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video_id,group\na,g\na,g\n", "'a' stands twice in group 'g'"),
        ("video_id,group,path\na,g,x.mp4\na,h,y.mp4\n", r"'a' names two files, '.*x\.mp4' and '.*y\.mp4'"),
        ("video_id,mos\n,1\n", "row 1: `video_id` is empty"),
        ("video_id,split\na,training\n", "row 1: `split` is 'training'; expected train, val, test"),
        ("video_id,weight\na,-1\n", "row 1: `weight` is -1.0"),
        ("video_id,std\na,-1\n", "row 1: `std` is -1.0"),
        ("video_id,mos\na,inf\n", "row 1: `mos` is 'inf'"),
    ],
)
def test_malformed_rows_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_manifest(manifest(tmp_path, text))


def test_a_video_may_stand_in_two_groups() -> None:
    check_unique([VideoRecord("a", "a.mp4", "g", "r"), VideoRecord("a", "a.mp4", "h", "r")], "t")


def test_a_table_of_either_kind(tmp_path: Path) -> None:
    assert [record.group for record in read_table(manifest(tmp_path, CVQAD))] == ["a/fast", "a/fast"]
    assert [record.group for record in read_table(manifest(tmp_path, "video_id,group\nv,g\n"))] == ["g"]


def test_ids_of_a_table_of_either_kind(tmp_path: Path) -> None:
    assert read_table_ids(manifest(tmp_path, CVQAD)) == ["x264_fast_a_100", "x265_fast_a_100"]
    assert read_table_ids(manifest(tmp_path, "video_id,x\nv,1\n")) == ["v"]
    with pytest.raises(ValueError, match="no column `video_id`, nor codec, preset, sequence, crf"):
        read_table_ids(manifest(tmp_path, "name,x\nv,1\n"))
    with pytest.raises(ValueError, match="'v' stands twice"):
        read_table_ids(manifest(tmp_path, "video_id,x\nv,1\nv,2\n"))


def test_a_folder_is_one_group_without_scores(tmp_path: Path) -> None:
    (tmp_path / "b.mp4").touch()
    (tmp_path / "a.mkv").touch()
    records = Folder(str(tmp_path)).records()
    assert [(record.video_id, record.group) for record in records] == [("a", tmp_path.name), ("b", tmp_path.name)]


def test_mixing_keeps_groups_apart(tmp_path: Path) -> None:
    (tmp_path / "cvqad.csv").write_text(CVQAD)
    mixed = Mixed([Cvqad(str(tmp_path / "cvqad.csv")), Manifest(str(manifest(tmp_path, "video_id,mos\nv,50\n")))])
    assert [record.group for record in mixed.records()] == ["a/fast", "a/fast", "set"]


def test_mixing_takes_a_weight_per_source(tmp_path: Path) -> None:
    (tmp_path / "cvqad.csv").write_text(CVQAD)
    sources = [Cvqad(str(tmp_path / "cvqad.csv")), Manifest(str(manifest(tmp_path, "video_id,mos\nv,50\n")))]
    assert [record.visits for record in Mixed(sources, weights=[2, 0.5]).records()] == [2, 2, 0.5]
    assert [record.visits for record in Mixed([Mixed(sources, weights=[2, 1])], weights=[3]).records()] == [6, 6, 3]
    for weights in ([1.0], [1.0, 0.0], [1.0, math.inf]):
        with pytest.raises(ValueError, match=r"`weights` is \[.*\] for 2 sources; expected one positive"):
            Mixed(sources, weights=weights)


def test_mixing_refuses_groups_of_one_name(tmp_path: Path) -> None:
    source = Manifest(str(manifest(tmp_path, "video_id,mos\nv,50\n")))
    with pytest.raises(ValueError, match="Source 2 of the mix has the group 'set', as one before it has"):
        Mixed([source, source]).records()
