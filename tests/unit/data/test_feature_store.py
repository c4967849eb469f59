"""The feature store: whole files, honest headers, equal bytes."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cvqa_models.data.feature_store import FeatureStore, file_name

TOKENS = torch.arange(6.0).reshape(2, 3)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store", "pyav-1-bt709")


def test_tokens_come_back(store: FeatureStore) -> None:
    store.write("Swin-abc", "v", TOKENS.double(), {"reading": "pyav-1-bt709", "weights": "abc"})
    assert torch.equal(store.read("Swin-abc", "v"), TOKENS)
    assert store.metadata("Swin-abc", "v") == {"reading": "pyav-1-bt709", "video_id": "v", "weights": "abc"}
    assert store.complete("Swin-abc", ["v"])
    assert not store.complete("Swin-abc", ["v", "w"])
    assert not store.complete("Other", ["v"])


@pytest.mark.parametrize(
    "name", ["a/b", "../up", "..", ".hidden", "ünï", "x" * 400, "x" * 399 + "y", "a[1]*?", "a%2Fb", "A b"]
)
def test_any_video_id_is_one_file_inside_the_store(store: FeatureStore, name: str) -> None:
    store.write("key", name, TOKENS, {})
    assert [path.parent for path in store.root.rglob("*.safetensors")] == [store.root / "key"]
    assert torch.equal(store.read("key", name), TOKENS)
    assert store.path("key", name) != store.path("key", "a b")


def test_long_names_stay_apart(store: FeatureStore) -> None:
    assert store.path("key", "x" * 400) != store.path("key", "x" * 399 + "y")


def test_equal_input_gives_equal_bytes_in_another_process(store: FeatureStore) -> None:
    store.write("key", "v", TOKENS, {"b": 1, "a": [1, 2]})
    code = (
        "import sys, torch; from cvqa_models.data.feature_store import FeatureStore\n"
        "FeatureStore(sys.argv[1], '').write('key', 'v', torch.arange(6.).reshape(2, 3), {'a': [1, 2], 'b': 1})"
    )
    other = store.root.parent / "other"
    subprocess.run([sys.executable, "-c", code, str(other)], check=True)
    assert (other / "key/v.safetensors").read_bytes() == store.path("key", "v").read_bytes()


def test_other_reading_settings_are_refused(store: FeatureStore) -> None:
    store.write("key", "v", TOKENS, {"reading": "decord-1-bt601"})
    with pytest.raises(ValueError, match="was read with 'decord-1-bt601', this run reads with 'pyav-1-bt709'"):
        store.read("key", "v")


def test_another_video_is_refused(store: FeatureStore, tmp_path: Path) -> None:
    video = tmp_path / "v.mp4"
    video.write_bytes(b"12345")
    store.write("key", "v", TOKENS, {"video_bytes": 5})
    assert torch.equal(store.read("key", "v", str(video)), TOKENS)
    assert torch.equal(store.read("key", "v", str(tmp_path / "elsewhere.mp4")), TOKENS)
    video.write_bytes(b"123456")
    with pytest.raises(ValueError, match=r"made from a file of 5 bytes, but '.*v\.mp4' has 6"):
        store.read("key", "v", str(video))


def test_missing_and_damaged_features_are_told_apart(store: FeatureStore) -> None:
    with pytest.raises(FileNotFoundError, match=r"no features .*run `cvqa extract`"):
        store.read("key", "v")
    store.write("key", "v", TOKENS, {})
    path = store.path("key", "v")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="is damaged or no feature file"):
        store.read("key", "v")


@pytest.mark.parametrize("tokens", [torch.zeros(3), torch.tensor([[1.0, float("nan")]])])
def test_tokens_that_are_no_finite_matrix_are_refused(store: FeatureStore, tokens: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="Features 'key' of 'v' have shape"):
        store.write("key", "v", tokens, {})
    assert not store.has("key", "v")


def test_a_full_disk_leaves_nothing(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cvqa_models.data.atomic.os.fsync", full)
    with pytest.raises(ValueError, match=r"v\.safetensors' cannot be written \(No space left on device\)"):
        store.write("key", "v", TOKENS, {})
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_an_unwritable_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        FeatureStore(tmp_path / "file", "").write("key", "v", TOKENS, {})


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("x264_fast_crowd-run (2), 50 #1", "x264_fast_crowd-run (2), 50 #1"),
        ("../../up", "%2E.%2F..%2Fup"),
        ("/etc/passwd", "%2Fetc%2Fpasswd"),
        (r"C:\x", "C%3A%5Cx"),
        ("a\0b\nc", "a%00b%0Ac"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("", "%"),
        ("a.", "a%2E"),
        ("a ", "a%20"),
        ("CON", "%43ON"),
        ("nul.mp4", "%6Eul.mp4"),
        ("com1", "%63om1"),
        ("console", "console"),
        ("caf\udce9", "caf%ED%B3%A9"),
    ],
)
def test_a_name_becomes_a_file_name_of_any_system(name: str, file: str) -> None:
    assert file_name(name) == file
