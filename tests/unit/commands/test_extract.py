"""`cvqa extract`: one decode, resumable to the byte, sharded, and measured tables as features."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.piq import Piq
from cvqa_models.branches.table import Table
from cvqa_models.commands.extract import extract
from cvqa_models.data.dataset import load_batch
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.data.shards import parse_shard, shard_of
from cvqa_models.files import sha256
from cvqa_models.inference import extract as module
from cvqa_models.inference.extract import extract_features, extract_table
from cvqa_models.types import VideoRecord
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Crop, Resize
from cvqa_models.video.reader import ReadOptions, read_views
from cvqa_models.video.view import View
from tests.unit.data.footage import make_videos

OPTIONS = ReadOptions()


class Mean(Branch):
    """A frozen projection of the mean colour of each key frame."""

    def __init__(self, count: int = 2, *, frozen: bool = True, view: View | None = None) -> None:
        super().__init__(view or View(KeyFrames(count), Resize(8, 8)), 5, frozen=frozen)
        torch.manual_seed(count)
        self.layer = torch.nn.Linear(3, 5)
        self.calls = 0

    def tokens(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x.float().mean((3, 4, 5)) / 255)


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def videos(tmp_path: Path) -> list[VideoRecord]:
    return make_videos(tmp_path / "videos", 4)


def test_cached_tokens_equal_computed_ones(tmp_path: Path, videos: list[VideoRecord]) -> None:
    branches = {"two": Mean(2).eval(), "three": Mean(3).eval()}
    demands = {name: branch.demand for name, branch in branches.items()}
    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    result = extract_features(branches, videos, store, OPTIONS)
    assert (result.written, result.present, result.broken) == (4, 0, {})
    cached = load_batch(videos, demands, store, OPTIONS)
    decoded = load_batch(videos, demands, None, OPTIONS)
    for name, branch in branches.items():
        expected = branch.tokens(decoded.views[branch.view.key])
        torch.testing.assert_close(cached.features[name], expected, rtol=1e-5, atol=1e-6)


def test_one_decode_serves_all_branches_and_only_what_is_missing(
    tmp_path: Path, videos: list[VideoRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def spy(path: str, views: list[View], options: ReadOptions, reference: str | None) -> object:
        asked.append([view.key for view in views])
        return original(path, views, options, reference=reference)

    original = module.iter_clips
    monkeypatch.setattr(module, "iter_clips", spy)
    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    two, three = Mean(2), Mean(3)
    extract_features({"two": two}, videos[:1], store, OPTIONS)
    extract_features({"two": two, "three": three, "again": three}, videos[:2] * 2, store, OPTIONS)
    assert asked == [[two.view.key], [three.view.key], [two.view.key, three.view.key]]
    assert extract_features({"two": two, "three": three}, videos[:2], store, OPTIONS).present == 2


def test_the_header_says_how_features_were_made(tmp_path: Path, videos: list[VideoRecord]) -> None:
    branch = Mean(2)
    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    extract_features({"two": branch}, videos[:1], store, OPTIONS)
    assert branch.demand.cache_key is not None
    about = store.metadata(branch.demand.cache_key, "v0")
    assert about["view"] == branch.view.key
    assert about["reading"] == OPTIONS.key
    assert str(about["weights"]).startswith(branch.demand.cache_key.rsplit("-", 1)[1])
    assert about["video_bytes"] == Path(str(videos[0].path)).stat().st_size
    assert str(about["branch"]).endswith(".Mean")


def test_features_of_pairs_say_which_source_they_saw(tmp_path: Path, videos: list[VideoRecord]) -> None:
    branch = Piq(["gmsd"], num_clips=2).eval()
    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    with pytest.raises(ValueError, match="needs the source video; give its `reference_path` in the manifest"):
        extract_features({"piq": branch}, videos[1:2], store, OPTIONS)
    source = str(videos[0].path)
    extract_features({"piq": branch}, [replace(videos[1], reference_path=source)], store, OPTIONS)
    assert branch.demand.cache_key is not None
    assert store.metadata(branch.demand.cache_key, "v1")["reference_sha256"] == sha256(source)
    x = read_views(str(videos[1].path), [branch.view], reference=source)[branch.view.key]
    assert torch.equal(store.read(branch.demand.cache_key, "v1"), branch.tokens(x[None])[0])


def test_shards_divide_the_work(tmp_path: Path, videos: list[VideoRecord]) -> None:
    whole, parts = (FeatureStore(tmp_path / name, OPTIONS.key) for name in ("whole", "parts"))
    extract_features({"m": Mean()}, videos, whole, OPTIONS)
    written = [extract_features({"m": Mean()}, videos, parts, OPTIONS, shard=(i, 3)).written for i in range(3)]
    assert written == [sum(shard_of(video.video_id, 3) == i for video in videos) for i in range(3)]
    assert content(whole.root) == content(parts.root)


def test_a_killed_run_continues_and_ends_with_the_same_bytes(tmp_path: Path, videos: list[VideoRecord]) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tests.unit.commands.test_extract import FeatureStore, Mean, OPTIONS, VideoRecord, extract_features\n"
        "class Slow(Mean):\n"
        "    def tokens(self, x):\n"
        "        time.sleep(0.5); return super().tokens(x)\n"
        "Slow.__name__ = Slow.__qualname__ = 'Mean'; Slow.__module__ = sys.argv[3]\n"
        "records = [VideoRecord(p.stem, str(p), 'g', 'r') for p in sorted(Path(sys.argv[1]).iterdir())]\n"
        "extract_features({'m': Slow()}, records, FeatureStore(sys.argv[2], OPTIONS.key), OPTIONS)\n"
    )
    killed = FeatureStore(tmp_path / "killed", OPTIONS.key)
    root = Path(__file__).resolve().parents[3]
    words = [sys.executable, "-c", code, str(tmp_path / "videos"), str(killed.root)]
    process = subprocess.Popen([*words, Mean.__module__], cwd=root)
    deadline = time.monotonic() + 120
    while not list(killed.root.rglob("*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    survived = len(list(killed.root.rglob("*.safetensors")))
    assert 0 < survived < 4
    result = extract_features({"m": Mean()}, videos, killed, OPTIONS)
    assert (result.present, result.written) == (survived, 4 - survived)
    whole = FeatureStore(tmp_path / "whole", OPTIONS.key)
    extract_features({"m": Mean()}, videos, whole, OPTIONS)
    assert content(killed.root) == content(whole.root)


def test_broken_videos_end_the_run_or_are_counted(tmp_path: Path, videos: list[VideoRecord]) -> None:
    Path(str(videos[1].path)).write_bytes(b"")
    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    with pytest.raises(ValueError, match=r"v1\.mp4' is empty"):
        extract_features({"m": Mean()}, videos, store, OPTIONS)
    result = extract_features({"m": Mean()}, videos, store, OPTIONS, skip_broken=True)
    assert (result.written, result.present, list(result.broken)) == (2, 1, ["v1"])
    assert "v1.mp4' is empty" in result.broken["v1"]


def test_what_a_disk_refuses_is_no_broken_video(
    tmp_path: Path, videos: list[VideoRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ValueError("'store' cannot be written (No space left on device)")

    monkeypatch.setattr(FeatureStore, "write", full)
    with pytest.raises(ValueError, match="No space left on device"):
        extract_features({"m": Mean()}, videos, FeatureStore(tmp_path, OPTIONS.key), OPTIONS, skip_broken=True)


def test_another_file_of_the_same_name_and_size_is_noticed(
    tmp_path: Path, videos: list[VideoRecord], caplog: pytest.LogCaptureFixture
) -> None:
    store, branch = FeatureStore(tmp_path / "store", OPTIONS.key), Mean()
    key = str(branch.demand.cache_key)
    first, second = Path(str(videos[0].path)), Path(str(videos[1].path))
    size = max(first.stat().st_size, second.stat().st_size)
    for path in (first, second):  # a box `free` at the end of an MP4 says nothing
        spare = size + 8 - path.stat().st_size
        path.write_bytes(path.read_bytes() + spare.to_bytes(4, "big") + b"free" + bytes(spare - 8))
    extract_features({"m": branch}, videos[:2], store, OPTIONS)
    old = store.read(key, "v0", str(first))
    shutil.copy2(second, first)
    with pytest.raises(ValueError, match=r"another file than '.*v0\.mp4' is now"):
        store.read(key, "v0", str(first))
    assert extract_features({"m": branch}, videos[:2], store, OPTIONS).written == 1
    assert "v0.mp4' is now; they are made anew." in caplog.text
    assert not torch.equal(store.read(key, "v0", str(first)), old)
    assert torch.equal(store.read(key, "v0", str(first)), store.read(key, "v1"))


def test_damaged_features_are_made_anew(tmp_path: Path, videos: list[VideoRecord]) -> None:
    store, branch = FeatureStore(tmp_path / "store", OPTIONS.key), Mean()
    extract_features({"m": branch}, videos, store, OPTIONS)
    whole, path = content(store.root), store.path(str(branch.demand.cache_key), "v1")
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    result = extract_features({"m": branch}, videos, store, OPTIONS)
    assert (result.written, result.present) == (1, 3)
    assert content(store.root) == whole


def test_a_store_of_other_reading_settings_is_not_written_over(tmp_path: Path, videos: list[VideoRecord]) -> None:
    store, other = FeatureStore(tmp_path / "store", OPTIONS.key), FeatureStore(tmp_path / "store", "other")
    extract_features({"m": Mean()}, videos[:1], store, OPTIONS)
    with pytest.raises(ValueError, match="this run reads with 'other'; set the decoder to match"):
        extract_features({"m": Mean()}, videos[:1], other, OPTIONS)


def test_a_video_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, videos: list[VideoRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meddler(Mean):
        def tokens(self, x: Tensor) -> Tensor:
            Path(str(videos[0].path)).touch()
            return super().tokens(x)

    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    with pytest.raises(ValueError, match=r"v0\.mp4' or its source was changed while it was read; extract again"):
        extract_features({"m": Meddler()}, videos[:1], store, OPTIONS)
    assert content(tmp_path / "store") == {}


def test_what_cannot_be_cached_is_refused(tmp_path: Path, videos: list[VideoRecord]) -> None:
    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    drawn = Mean(view=View(KeyFrames(1), Crop(8, random=True)))
    for branch in (Mean(frozen=False), drawn):
        with pytest.raises(ValueError, match="No branch can be cached"):
            extract_features({"m": branch}, videos, store, OPTIONS)
    with pytest.raises(ValueError, match="'v' has no file"):
        extract_features({"m": Mean()}, [VideoRecord("v", None, "g", "r")], store, OPTIONS)


def table(tmp_path: Path, text: str = "video_id,NR a,NR b,FR c\nv0,1,2,3\nv1,4,5,6\n") -> Path:
    (tmp_path / "metrics.csv").write_text(text)
    return tmp_path / "metrics.csv"


def test_a_table_becomes_features(tmp_path: Path) -> None:
    path = table(tmp_path)
    assert extract_table(path, ["NR *"], tmp_path / "store") == 2
    branch = Table(str(path), columns=["NR *"])
    assert branch.dim == 2
    records = [VideoRecord(name, None, "g", "r") for name in ("v1", "v0")]
    batch = load_batch(records, {"table": branch.demand}, FeatureStore(tmp_path / "store", OPTIONS.key), OPTIONS)
    assert batch.features["table"].tolist() == [[[4.0, 5.0]], [[1.0, 2.0]]]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("video_id;NR a\nv0;1,5\nv1;2\n", "utf-8"),
        ("NR a;video_id\n1,5;v0\n2;v1\n", "utf-8"),
        ("video_id\tNR a\nv0\t1.5\nv1\t2\n", "utf-16"),
    ],
)
def test_a_table_as_spreadsheets_write_it_becomes_features(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text, encoding=encoding)
    assert extract_table(path, ["NR *"], tmp_path / "store") == 2
    branch = Table(str(path), columns=["NR *"])
    records = [VideoRecord(name, None, "g", "r") for name in ("v1", "v0")]
    batch = load_batch(records, {"table": branch.demand}, FeatureStore(tmp_path / "store", OPTIONS.key), OPTIONS)
    assert batch.features["table"].tolist() == [[[2.0]], [[1.5]]]


def test_a_table_is_known_by_content_and_columns(tmp_path: Path) -> None:
    first = Table(str(table(tmp_path)), columns=["NR *"]).demand.cache_key
    assert first == Table(str(table(tmp_path)), columns=["NR b", "NR a"]).demand.cache_key
    assert first != Table(str(table(tmp_path)), columns=["NR a"]).demand.cache_key
    assert first != Table(str(table(tmp_path, "video_id,NR a,NR b\nv0,1,9\n")), columns=["NR *"]).demand.cache_key


def test_a_table_sees_nothing_and_gives_the_values_that_it_is_given(tmp_path: Path) -> None:
    branch = Table(str(table(tmp_path)), columns=["FR c"])
    assert branch.demand.view is None
    values = torch.tensor([[[1.5]], [[-2.0]]])
    assert torch.equal(branch.tokens(values), values)
    assert torch.equal(branch(values), values[:, 0])


def test_a_table_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no column that matches 'XR \*'"):
        Table(str(table(tmp_path)), columns=["XR *"])
    with pytest.raises(FileNotFoundError, match="no table"):
        Table(str(tmp_path / "absent.csv"), columns=["NR *"])
    with pytest.raises(ValueError, match="row 1: `NR a` is 'nan'"):
        extract_table(table(tmp_path, "video_id,NR a\nv0,nan\n"), ["NR a"], tmp_path / "store")


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("video_id,NR étude\nv0,1\n", "latin-1", r"metrics.csv' is not UTF-8 text \(byte 12\); save it again as UTF-8"),
        ("video_id,NR a\nv0,1\n", "utf-16-le", "metrics.csv' is not UTF-8 text .it holds zero bytes.; save it again"),
    ],
)
def test_a_table_that_is_no_utf8_csv_is_named_with_the_remedy(
    tmp_path: Path, text: str, encoding: str, message: str
) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text, encoding=encoding)
    with pytest.raises(ValueError, match=message):
        extract(from_table=path, columns=["NR *"], store=tmp_path / "store")
    with pytest.raises(ValueError, match=message):
        Table(str(path), columns=["NR *"])


def test_the_command_takes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract(from_table=table(tmp_path), columns=["FR c"], store=tmp_path / "store")
    assert "2 videos written to" in capsys.readouterr().out


def test_shards_are_counted_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert (parse_shard("1/4"), parse_shard("4/4"), parse_shard(None)) == ((0, 4), (3, 4), (0, 1))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert parse_shard(None) == (1, 2)
    for wrong in ("0/4", "5/4", "1", "a/b"):
        with pytest.raises(ValueError, match=f"`--shard` is '{wrong}'; expected i/n"):
            parse_shard(wrong)


def test_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs `--columns` and `--store`"):
        extract(from_table=table(tmp_path))
    with pytest.raises(ValueError, match="Give `--config FILE"):
        extract()
    with pytest.raises(FileNotFoundError, match="no configuration"):
        extract(config=[tmp_path / "absent.yaml"])
    (tmp_path / "wrong.yaml").write_text("modell: {}\n")
    with pytest.raises(ValueError, match="The configuration is not valid"):
        extract(config=[tmp_path / "wrong.yaml"])


CONFIG = """
model:
  class_path: cvqa_models.models.multibranch.MultiBranch
  init_args:
    loss: {{class_path: cvqa_models.losses.grouped.GroupLoss}}
    branches:
      timm:
        class_path: cvqa_models.branches.timm.Timm
        init_args:
          name: test_vit
          view:
            frames: {{class_path: cvqa_models.video.frame_rules.KeyFrames, init_args: {{num_clips: 2}}}}
            pixels: {{class_path: cvqa_models.video.pixel_rules.Crop, init_args: {{size: 32, short: 32}}}}
          frozen: true
data:
  source: {{class_path: cvqa_models.data.manifest.Manifest, init_args: {{path: {manifest}}}}}
trainer: {{max_epochs: 1, accelerator: cpu}}
"""


def config_of(tmp_path: Path, videos: list[VideoRecord]) -> Path:
    manifest = tmp_path / "manifest.csv"
    rows = [f"{one.video_id},{os.path.relpath(str(one.path), tmp_path)}\n" for one in videos]
    manifest.write_text("video_id,path\n" + "".join(rows))
    (tmp_path / "config.yaml").write_text(CONFIG.format(manifest=manifest))
    return tmp_path / "config.yaml"


@pytest.mark.filterwarnings("ignore:Attribute .* is an instance of `nn.Module`")
def test_a_configuration_of_train_py_is_enough(
    tmp_path: Path, videos: list[VideoRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(tmp_path, videos)
    with pytest.raises(ValueError, match="There is no store; give `--store FOLDER`"):
        extract(config=[config])
    with pytest.raises(ValueError, match="`workers` is 0 and `limit` 1800; expected at least 1"):
        extract(config=[config], store=tmp_path / "store", workers=0)
    assert extract(config=[config], store=tmp_path / "store", device="cpu", workers=1) == 0
    assert "4 videos written" in capsys.readouterr().out
    assert extract(config=[config], store=tmp_path / "again", device="cpu", workers=2) == 0
    assert content(tmp_path / "again") == content(tmp_path / "store")


@pytest.mark.filterwarnings("ignore:Attribute .* is an instance of `nn.Module`")
def test_videos_that_are_broken_or_take_too_long_are_named_and_end_nothing(
    tmp_path: Path, videos: list[VideoRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(str(videos[1].path)).write_bytes(b"")
    config, store, told = config_of(tmp_path, videos), tmp_path / "store", tmp_path / "told.json"
    assert extract(config=[config], store=store, device="cpu", limit=0.01, json=told) == 2  # no process starts so fast
    reasons = json.loads(told.read_text())["broken"]
    assert sorted(reasons) == ["v0", "v1", "v2", "v3"]
    assert "v3.mp4': its decoder was stopped after 0.01 s; raise `--limit`" in reasons["v3"]
    assert extract(config=[config], store=store, device="cpu", json=told) == 2
    out, said = capsys.readouterr()
    assert "3 videos written" in out
    assert "v1.mp4' is empty" in said.splitlines()[-1]
    assert list(json.loads(told.read_text())["broken"]) == ["v1"]


@pytest.mark.filterwarnings("ignore:Attribute .* is an instance of `nn.Module`")
def test_a_store_that_cannot_be_written_ends_the_run(
    tmp_path: Path, videos: list[VideoRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ValueError("'store' cannot be written (No space left on device)")

    def here(job, videos, *_: object) -> object:
        return enumerate(map(job, videos))

    monkeypatch.setattr(FeatureStore, "write", full)
    monkeypatch.setattr("cvqa_models.inference.extract_bulk.run_each", here)
    with pytest.raises(ValueError, match="No space left on device"):
        extract(config=[config_of(tmp_path, videos)], store=tmp_path / "store", device="cpu")
