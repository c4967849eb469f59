"""Packed features: the same values, from few files, whatever happens to the one who packs them."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import resource
import signal
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from cvqa_models.commands.pack import pack
from cvqa_models.data import packing
from cvqa_models.data.dataset import VideoDataset
from cvqa_models.data.feature_store import FeatureStore, UnusableError, time_of_change
from cvqa_models.data.packed import open_shard
from cvqa_models.data.packing import pack_store
from cvqa_models.files import sha256
from cvqa_models.types import Demand, VideoRecord
from cvqa_models.video.reader import ReadOptions

OPTIONS = ReadOptions()
NAMES = ["a", "b/c", "ü", "long " * 80, "e"]
TOKENS = {name: torch.randn(2, 3, generator=torch.Generator().manual_seed(seed)) for seed, name in enumerate(NAMES)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    for name, tokens in TOKENS.items():
        store.write("key", name, tokens, {"reading": OPTIONS.key, "weights": "abc", "video_bytes": len(name)})
    return store.root


def opened(root: Path) -> FeatureStore:
    return FeatureStore(root, OPTIONS.key)


def shards(root: Path) -> list[Path]:
    return sorted((root / "key" / "packed").glob("*.safetensors"))


def check_whole(root: Path) -> None:
    """Every video is there, in a shard or a file, with its own values and what was said of it."""
    store = opened(root)
    assert store.complete("key", NAMES)
    for name, tokens in TOKENS.items():
        assert torch.equal(store.read("key", name), tokens)
        about = {"reading": OPTIONS.key, "weights": "abc", "video_bytes": len(name), "video_id": name}
        assert store.metadata("key", name) == about


def test_features_are_the_same_packed(root: Path) -> None:
    found = pack_store(root, shard_bytes=48)
    assert (found.videos, found.shards, found.damaged) == ({"key": 5}, 3, [])
    assert not list((root / "key").glob("*.safetensors"))
    assert opened(root).packed("key", NAMES)
    check_whole(root)
    assert pack_store(root).videos == {}


def test_another_program_reads_a_shard(root: Path) -> None:
    pack_store(root)
    with safe_open(shards(root)[0], framework="pt") as file:
        tokens, about = file.get_tensor("tokens"), json.loads(file.metadata()["cvqa"])
    for row, name in enumerate(about["each"]["video_id"]):
        assert torch.equal(tokens[row], TOKENS[name])
    assert about["common"] == {"reading": OPTIONS.key, "weights": "abc"}


def test_what_is_written_later_counts_and_is_packed_in_turn(root: Path) -> None:
    pack_store(root)
    store = opened(root)
    assert store.complete("key", NAMES)
    store.write("key", "a", -TOKENS["a"], {"reading": OPTIONS.key})
    store.write("key", "new", TOKENS["a"], {"reading": OPTIONS.key})
    for one in (store, opened(root)):
        assert torch.equal(one.read("key", "a"), -TOKENS["a"])
        assert one.complete("key", [*NAMES, "new"])
        assert not one.packed("key", ["a"])
    assert pack_store(root).videos == {"key": 2}
    assert torch.equal(opened(root).read("key", "a"), -TOKENS["a"])
    assert opened(root).packed("key", [*NAMES, "new"])


def test_features_of_several_shapes_are_packed_apart(root: Path) -> None:
    opened(root).write("key", "b", torch.ones(4, 3), {})
    assert pack_store(root).shards == 3  # before, itself, and after, in the order of the names
    assert opened(root).look("key", "b") == (4, 3)
    check_whole(root)


def test_half_the_bytes_lose_what_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pack(root, float16=["k*"], json=root.parent / "out.json") == 0
    lost = json.loads((root.parent / "out.json").read_text())["loss"]["key"]
    told = [opened(root).read("key", name) for name in NAMES]
    truth = torch.stack([TOKENS[name].half().float() for name in NAMES])
    assert torch.equal(torch.stack(told), truth)
    values = torch.stack(list(TOKENS.values())).double()
    assert lost == pytest.approx(float((truth - values).norm() / values.norm()))
    assert 0 < lost < 2**-11
    assert f"key: 5 videos packed, float16, which took {lost:.2g} of their root mean square" in capsys.readouterr().out


def test_values_that_float16_does_not_hold_are_refused(root: Path) -> None:
    opened(root).write("key", "z", torch.full((2, 3), 7e4), {})
    with pytest.raises(ValueError, match=r"z\.safetensors' holds 70000, and float16 ends at 65504"):
        pack_store(root, float16=["key"])
    with pytest.raises(ValueError, match=r"`float16` names .other., which is no branch with files to pack; .* has key"):
        pack_store(root, float16=["other"])
    assert torch.equal(opened(root).read("key", "a"), TOKENS["a"])


def test_damaged_files_are_named_and_stay(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "key" / "e.safetensors").write_bytes(b"no features")
    Path(root / "key" / "a.safetensors").rename(root / "key" / "other.safetensors")
    assert pack(root) == 2
    said = capsys.readouterr()
    assert "3 files in 1 shards, 2 damaged ones left" in said.out
    assert "e.safetensors' is damaged or no feature file" in said.err
    assert "other.safetensors' is of 'a', which is another name" in said.err
    assert not opened(root).usable("key", "e")


def test_a_store_that_is_being_packed_is_refused(root: Path) -> None:
    with packing.sole_owner(root / ".pack.lock", "busy"), pytest.raises(ValueError, match="is being packed by another"):
        pack_store(root)
    with pytest.raises(FileNotFoundError, match="There is no store"):
        pack_store(root / "gone")


def _pack(root: Path) -> None:
    pack_store(root, shard_bytes=48)


def _pack_killed_at(root: Path, call: int, name: str) -> None:
    count = 0
    real = getattr(os, name)

    def counted(*args: object, **words: object) -> object:
        nonlocal count
        count += 1
        if count == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **words)

    setattr(os, name, counted)
    _pack(root)


@pytest.mark.parametrize("name", ["fsync", "unlink", "replace"])
@pytest.mark.parametrize("call", [1, 2, 4])
def test_a_packer_that_is_killed_loses_nothing(root: Path, name: str, call: int) -> None:
    process = multiprocessing.get_context("fork").Process(target=_pack_killed_at, args=(root, call, name))
    process.start()
    process.join()
    assert process.exitcode in (-signal.SIGKILL, 0)
    check_whole(root)
    _pack(root)
    check_whole(root)
    assert opened(root).packed("key", NAMES)


def test_a_file_that_is_written_while_it_is_packed_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = packing.write_shard

    def meanwhile(path: Path, rows: object) -> None:
        real(path, rows)
        opened(root).write("key", "a", -TOKENS["a"], {"reading": OPTIONS.key})

    monkeypatch.setattr(packing, "write_shard", meanwhile)
    pack_store(root)
    assert torch.equal(opened(root).read("key", "a"), -TOKENS["a"])


def rewritten(path: Path, change: object) -> None:
    """Change the header of a shard."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"]["cvqa"])
    change(header, about)  # type: ignore[operator]
    header["__metadata__"]["cvqa"] = json.dumps(about)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header, about: [own.pop() for own in about["each"].values()], "lists 4 videos and holds 5; remove it"),
        (lambda header, about: about["each"].pop("checksum"), "is damaged or no shard"),
        (lambda header, about: about["each"].update(video_id=[[]] * 5), "is no shard of features"),
        (lambda header, about: header["tokens"].update(dtype="F64"), "is damaged or no shard"),
        (lambda header, about: header["tokens"].update(shape=[5, 0, 3]), "is no shard of features"),
        (lambda header, about: header["tokens"].update(data_offsets=[4, 124]), "is no shard of features"),
    ],
)
def test_a_shard_that_does_not_fit_its_index_is_named(root: Path, change: object, words: str) -> None:
    pack_store(root)
    rewritten(shards(root)[0], change)
    with pytest.raises(ValueError, match=rf"00000\.safetensors' {words}"):
        opened(root).has("key", "a")


@pytest.mark.parametrize("left", [0, 5, 300, -1])
def test_a_shard_that_was_cut_is_named(root: Path, left: int) -> None:
    pack_store(root)
    path = shards(root)[0]
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"(is damaged or no shard|has \d+ bytes instead of \d+).*; remove it and run"):
        opened(root).read("key", "a")


def test_a_shard_that_is_cut_while_it_is_open_is_named(root: Path) -> None:
    pack_store(root)
    store = opened(root)
    assert store.has("key", "a")
    os.truncate(shards(root)[0], shards(root)[0].stat().st_size - 30)
    with pytest.raises(UnusableError, match="is damaged where it holds"):
        [store.read("key", name) for name in NAMES]


def test_a_flipped_bit_in_a_row_is_noticed_and_the_video_made_anew(root: Path) -> None:
    pack_store(root)
    path = shards(root)[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    last = open_shard(path).each["video_id"][-1]
    store = opened(root)
    with pytest.raises(UnusableError, match=f"is damaged where it holds {last!r}; run `cvqa extract` again"):
        store.read("key", last)
    assert not store.usable("key", last)
    store.write("key", last, TOKENS[last], {"reading": OPTIONS.key})
    assert torch.equal(opened(root).read("key", last), TOKENS[last])


def test_a_changed_video_is_noticed_and_one_of_another_time_is_read_once(tmp_path: Path, monkeypatch) -> None:
    video, root = tmp_path / "v.mp4", tmp_path / "store"
    video.write_bytes(b"12345")
    about = {"reading": OPTIONS.key, "video_sha256": sha256(video), "video_bytes": 5}
    opened(root).write("key", "v", TOKENS["a"], about, time_of_change(video))
    pack_store(root)
    asked = []
    monkeypatch.setattr("cvqa_models.data.feature_store._sha256", lambda file, *_: asked.append(file) or sha256(file))
    assert opened(root).usable("key", "v", str(video))
    assert not asked
    video.chmod(0o600)  # its time changes, and not its content
    for _ in range(2):
        store = opened(root)
        assert store.look("key", "v", str(video)) == (2, 3)
        store.keep_times()
    assert asked == [video]
    video.write_bytes(b"54321")
    assert not opened(root).usable("key", "v", str(video))
    with pytest.raises(UnusableError, match="was made from another file"):
        opened(root).look("key", "v", str(video))


def test_other_reading_settings_are_refused(root: Path) -> None:
    pack_store(root)
    with pytest.raises(ValueError, match="this run reads with 'other'"):
        FeatureStore(root, "other").look("key", "a")


def test_training_reads_rows_and_holds_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [VideoRecord(name, None, "g", "r", float(row)) for row, name in enumerate(NAMES)]
    demands = {"branch": Demand(None, "key")}

    def items(**words: object) -> list[torch.Tensor]:
        data = VideoDataset(records, [[0, 1, 2], [3, 4]], demands, opened(root), OPTIONS, **words)
        data = pickle.loads(pickle.dumps(data))  # as a worker gets it
        return [data[(3, item)].features["branch"] for item in range(len(data))]

    before = [*items(), *items(seed=1, videos_per_item=2, kept_draws=1), *items(skip_broken=True)]
    pack_store(root)
    data = VideoDataset(records, [[0, 1]], demands, opened(root), OPTIONS, seed=1, kept_draws=1)
    assert data._table is None
    assert data[0].seeds is None
    assert not data._kept
    after = [*items(), *items(seed=1, videos_per_item=2, kept_draws=1), *items(skip_broken=True)]
    assert len(before) == len(after)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_opening_a_store_reads_no_values(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_store(root)
    records = [VideoRecord(name, None, "g", "r", 1.0) for name in NAMES]
    monkeypatch.setattr("cvqa_models.data.packed.Shard.read", None)
    assert VideoDataset(records, [[0]], {"branch": Demand(None, "key")}, opened(root), OPTIONS).packed


def test_a_full_disk_loses_nothing(root: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(ValueError, match="cannot be written"):
            pack_store(root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    check_whole(root)
