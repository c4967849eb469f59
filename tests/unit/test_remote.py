"""Object stores: tables and videos at s3:// as if they lay here, from a real server in this process."""

from __future__ import annotations

import io
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from cvqa_models.data.manifest import read_manifest
from cvqa_models.files import check_there
from cvqa_models.inference.bulk import videos_of
from cvqa_models.remote import beside, copy_remote, list_remote, read_remote, remote
from cvqa_models.video import copies
from cvqa_models.video.copies import local


def test_addresses_are_told_from_paths() -> None:
    assert remote("s3://bucket/a.csv") == "s3://bucket/a.csv"
    assert remote(Path("s3://bucket/a b.csv")) == "s3://bucket/a b.csv"
    assert remote("gs://bucket/a") == "gs://bucket/a"
    for text in ("a.csv", "/s3/a", "s3", "https://host/a", "s3::file://a", "github://a", "simplecache::s3://a"):
        assert remote(text) is None
    assert beside("s3://b/sets/m.csv", "v/a.mp4") == "s3://b/sets/v/a.mp4"
    assert beside("m.csv", "gs://b/a.mp4") == "gs://b/a.mp4"
    assert beside("m.csv", "a.mp4") is None
    check_there("table", Path("s3://bucket/a.csv"))


@pytest.mark.parametrize(("address", "package"), [("s3://b/a", "s3fs"), ("gs://b/a", "gcsfs")])
def test_what_is_not_installed_is_named(address: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"'{address}' needs the package {package}; `pip install 'cvqa_models\[cloud"):
        read_remote(address)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A server with one bucket, which the client finds as it finds any: by the environment."""
    boto3 = pytest.importorskip("boto3")
    server_module = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="films")
    for name, content in {
        "set/manifest.csv": b"video_id,path,mos\na,v/a.mp4,1\nb,s3://films/set/v/b.mkv,2\nc,https://host/c.mp4,3\n",
        "set/list.txt": b"v/a.mp4\n\ns3://films/set/v/b.mkv\n",
        "set/v/a.mp4": b"a" * 3_000_000,
        "set/v/b.mkv": b"b",
        "set/v/notes.pdf": b"no video",
        "set/v/.hidden/c.mp4": b"c",
        "empty/notes.pdf": b"no video",
    }.items():
        client.put_object(Bucket="films", Key=name, Body=content)
    yield "s3://films"
    patch.undo()
    server.stop()


def test_a_manifest_names_videos_beside_it(bucket: str) -> None:
    records = read_manifest(f"{bucket}/set/manifest.csv")
    assert [record.mos for record in records] == [1, 2, 3]
    assert [record.path for record in records[:2]] == [f"{bucket}/set/v/a.mp4", f"{bucket}/set/v/b.mkv"]
    assert read_manifest(Path(f"{bucket}/set/manifest.csv")) == records


def test_folders_lists_and_tables_are_listed(bucket: str) -> None:
    both = [f"{bucket}/set/v/a.mp4", f"{bucket}/set/v/b.mkv"]
    assert list(videos_of([f"{bucket}/set/v"])) == both
    assert list(videos_of([f"{bucket}/set/v/"])) == both
    assert list(videos_of([both[0]])) == both[:1]
    assert list(videos_of([f"{bucket}/set/list.txt"]).values()) == both
    assert list(videos_of([f"{bucket}/set/manifest.csv"]).values())[:2] == both
    with pytest.raises(ValueError, match="'s3://films/empty' holds no video; expected files such as"):
        videos_of([f"{bucket}/empty"])
    with pytest.raises(FileNotFoundError, match="There is nothing at 's3://films/gone'; check the address"):
        list_remote(f"{bucket}/gone")


def test_a_video_is_a_file_here_for_as_long_as_it_is_read(bucket: str, tmp_path: Path) -> None:
    with local(f"{bucket}/set/v/a.mp4") as path:
        assert path.suffix == ".mp4"
        assert path.read_bytes() == b"a" * 3_000_000
    assert not path.exists()
    with pytest.raises(ValueError, match=r"'s3://films/set/v/b.mkv' is odd"), local(f"{bucket}/set/v/b.mkv") as path:
        raise ValueError(f"'{path}' is odd.")
    with local(tmp_path / "a.mp4") as path:
        assert path == tmp_path / "a.mp4"


def test_what_is_not_there_or_not_allowed_is_one_sentence(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file 's3://films/gone.mp4'; check the address"):
        read_remote(f"{bucket}/gone.mp4")
    with pytest.raises(FileNotFoundError, match=r"There is no file 's3://films/gone.mp4'"), local(f"{bucket}/gone.mp4"):
        pass
    client = fsspec.filesystem("s3")
    monkeypatch.setattr(client, "size", lambda _: 5)
    with pytest.raises(ValueError, match=r"'s3://films/set/v/b.mkv' gave 1 of 5 bytes; try again"):
        copy_remote(f"{bucket}/set/v/b.mkv", io.BytesIO())
    monkeypatch.setattr(client, "cat_file", lambda _: 1 / 0)
    with pytest.raises(ValueError, match=r"cannot be read \(division by zero\); check the address, your keys and the"):
        read_remote(f"{bucket}/set/v/b.mkv")


def test_training_and_extraction_copy_what_they_decode(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from cvqa_models.data import dataset
    from cvqa_models.types import VideoRecord
    from cvqa_models.video.reader import ReadOptions

    seen = []
    monkeypatch.setattr(
        dataset,
        "read_views",
        lambda path, *_, reference, **__: (
            seen.append((Path(path).read_bytes(), reference and Path(reference).read_bytes())) or {}
        ),
    )
    record = VideoRecord("b", f"{bucket}/set/v/b.mkv", "g", "r", reference_path=f"{bucket}/set/list.txt")
    dataset._decode(record, {}, ReadOptions(), None)
    assert seen[0] == (b"b", read_remote(f"{bucket}/set/list.txt"))
    assert copies.local_if(None).__enter__() is None
