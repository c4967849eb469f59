"""The feature store: whole files, honest headers, equal bytes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cvqa_models.data import feature_store
from cvqa_models.data.feature_store import FeatureStore, UnusableError, file_name, time_of_change
from cvqa_models.files import sha256

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


def about(video: Path, **more: object) -> dict[str, object]:
    """What `extract` writes of a file."""
    return {"video_sha256": sha256(video), "video_bytes": video.stat().st_size, **more}


def replace(file: Path, content: bytes) -> None:
    """Put another file in place whose times, but for the one that the system sets, are those of the first."""
    times = file.stat()
    other = file.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)


def test_another_file_of_the_same_name_is_noticed_by_size_or_digest(store: FeatureStore, tmp_path: Path) -> None:
    video = tmp_path / "v.mp4"
    video.write_bytes(b"12345")
    store.write("key", "v", TOKENS, about(video), time_of_change(video))
    assert torch.equal(store.read("key", "v", str(video)), TOKENS)
    assert torch.equal(store.read("key", "v", str(tmp_path / "elsewhere.mp4")), TOKENS)
    for content in (b"123456", b"54321"):
        replace(video, content)
        with pytest.raises(UnusableError, match=r"another file than '.*v\.mp4' is now; run `cvqa extract` again"):
            store.read("key", "v", str(video))
        assert not store.usable("key", "v", str(video))


def test_another_source_of_the_same_name_is_noticed(store: FeatureStore, tmp_path: Path) -> None:
    video, source = tmp_path / "v.mp4", tmp_path / "s.mp4"
    video.write_bytes(b"12345")
    source.write_bytes(b"abcde")
    files = str(video), str(source)
    store.write("key", "v", TOKENS, about(video, reference_sha256=sha256(source)), time_of_change(*files))
    assert store.usable("key", "v", *files)
    replace(source, b"edcba")
    with pytest.raises(UnusableError, match=r"another file than '.*s\.mp4' is now"):
        store.read("key", "v", *files)


def test_a_file_that_has_not_changed_is_not_read(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = tmp_path / "v.mp4"
    video.write_bytes(b"12345")
    store.write("key", "v", TOKENS, about(video), time_of_change(video))
    replace(video, b"12345")  # another file of the same content: read once, and not again
    asked: list[Path] = []

    def spy(file: Path) -> str:
        asked.append(file)
        return sha256(file)

    monkeypatch.setattr("cvqa_models.data.feature_store.sha256", spy)
    for _ in range(3):
        feature_store._sha256.cache_clear()  # as in a new process
        assert torch.equal(store.read("key", "v", str(video)), TOKENS)
    assert asked == [video]


def test_a_store_that_may_not_be_touched_is_read_all_the_same(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    video = tmp_path / "v.mp4"
    video.write_bytes(b"12345")
    store.write("key", "v", TOKENS, about(video))
    monkeypatch.setattr("cvqa_models.data.feature_store.os.utime", read_only)
    assert torch.equal(store.read("key", "v", str(video)), TOKENS)


def test_a_flipped_bit_is_noticed_or_changes_nothing(store: FeatureStore) -> None:
    store.write("key", "v", TOKENS, {"weights": "abc", "video_bytes": 5})
    path, whole = store.path("key", "v"), store.metadata("key", "v")
    content, noticed = path.read_bytes(), 0
    places = range(0, 8 * len(content), 7)
    for place in places:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert torch.equal(store.read("key", "v"), TOKENS)
            assert {key: store.metadata("key", "v").get(key) for key in whole} == whole
        except UnusableError:
            noticed += 1
    assert noticed > 0.9 * len(places)  # others hit the name of the digest, or blanks


def test_a_file_of_an_older_version_is_read(store: FeatureStore) -> None:
    store.path("key", "v").parent.mkdir(parents=True)
    save_file({"tokens": TOKENS}, store.path("key", "v"), {"cvqa": '{"video_id": "v"}'})
    assert torch.equal(store.read("key", "v"), TOKENS)
    assert store.metadata("key", "v") == {"video_id": "v"}


@pytest.mark.parametrize(
    ("tensors", "header", "words"),
    [
        ({"tokens": torch.full((2, 3), torch.nan)}, "{}", "holds values that are not finite"),
        ({"tokens": torch.full((2, 3), torch.inf)}, "{}", "holds values that are not finite"),
        ({"tokens": torch.zeros(2, 3, dtype=torch.int64)}, "{}", r"holds torch.int64 of shape \(2, 3\)"),
        ({"tokens": torch.zeros(2)}, "{}", r"holds torch.float32 of shape \(2,\) instead of float32 \(N, D\)"),
        ({"other": TOKENS}, "{}", "is damaged or no feature file"),
        ({"tokens": TOKENS}, None, "is damaged or no feature file"),
        ({"tokens": TOKENS}, "no JSON", "is damaged or no feature file"),
        ({"tokens": TOKENS}, "[1]", "is damaged or no feature file"),
        ({"tokens": TOKENS}, "null", "is damaged or no feature file"),
        ({"tokens": TOKENS}, "[" * 50_000, "is damaged or no feature file"),
        ({"tokens": TOKENS}, '{"sha256": 7}', "its digest does not fit its content"),
    ],
)
def test_odd_content_is_named_in_one_sentence(
    store: FeatureStore, tensors: dict[str, torch.Tensor], header: str | None, words: str
) -> None:
    store.path("key", "v").parent.mkdir(parents=True)
    save_file(tensors, store.path("key", "v"), None if header is None else {"cvqa": header})
    for look in (store.read, store.metadata):
        with pytest.raises(UnusableError, match=words):
            look("key", "v")


def test_a_folder_in_place_of_a_file_is_named(store: FeatureStore) -> None:
    store.path("key", "v").mkdir(parents=True)
    store.path("key", "w").symlink_to("nowhere")
    looks = [store.has, store.read, store.metadata, store.usable]
    for look in looks:
        with pytest.raises(ValueError, match=r"v\.safetensors' is a folder; remove it and run"):
            look("key", "v")
        with pytest.raises(ValueError, match=r"w\.safetensors' is no file; remove it and run"):
            look("key", "w")
    with pytest.raises(ValueError, match=r"v\.safetensors' is a folder"):
        store.complete("key", ["absent", "v"])


def test_a_file_that_cannot_be_read_is_named(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    store.write("key", "v", TOKENS, {})
    monkeypatch.setattr("cvqa_models.data.feature_store.safe_open", refuse)
    with pytest.raises(ValueError, match=r"v\.safetensors' cannot be read \(Permission denied\); check"):
        store.read("key", "v")


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

    monkeypatch.setattr("cvqa_models.files.os.fsync", full)
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


@pytest.mark.parametrize("root", ["s3://bucket/features", Path("gs://bucket/features")])
def test_a_store_at_an_address_is_refused_with_the_remedy(root) -> None:
    with pytest.raises(
        ValueError, match=r"'(s3|gs)://bucket/features' is in an object store.*copy it, as with `aws s3"
    ):
        FeatureStore(root, "reading")
