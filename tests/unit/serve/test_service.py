"""The service as its own process: what it scores is what `load` scores, and nothing that it is sent ends it."""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import cvqa_models
from cvqa_models.inference.timeline_files import payload, write_timelines
from cvqa_models.report.pictures import stills
from cvqa_models.video.reader import ReadOptions
from tests.unit.serve.server import Server, children, encode

QUEUE = 8
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    encode(folder / "film.mp4")
    encode(folder / "long.mp4", 9, "32x32")
    (folder / "outside.mp4").symlink_to("/etc/hostname")
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfilm.mp4\n#EXT-X-ENDLIST\n")
    (folder / "list.txt").write_text("ffconcat version 1.0\nfile film.mp4\n")
    (folder / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    (folder / "cut.mp4").write_bytes((folder / "film.mp4").read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def server(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = ("--workers", "1", "--queue", str(QUEUE), "--megabytes", "0.2", "--duration", "5", "--limit", "60")
    server = Server(tmp_path_factory.mktemp("service"), *limits, "--root", str(films))
    yield server
    server.stop()


def test_a_file_that_is_sent_has_the_score_that_python_gives_it(server: Server, films: Path, tmp_path: Path) -> None:
    sent = server.send(films / "film.mp4", "my film.mp4")
    assert sent.status_code == 202
    job = sent.json()
    assert sent.headers["location"] == f"/v1/jobs/{job['id']}"
    answer = server.ended(job["id"])
    assert answer.status_code == 200
    result, wanted = answer.json()["result"], cvqa_models.load(device="cpu")(films / "film.mp4", seconds=True)
    assert (result["score"], tuple(result["seconds"])) == (wanted.value, wanted.seconds)
    assert result["worst"] == min((0, 1), key=wanted.seconds.__getitem__)
    assert result["provenance"] == vars(wanted.provenance)
    assert result["video"] == "my film.mp4"
    assert wanted.timeline is not None
    assert result["timeline"] == payload(wanted.timeline)
    assert server.uploads() == [], "a file goes once it has its score"
    worst = wanted.timeline.worst()[0].worst
    shown = {}
    for kind in result["pictures"]:
        picture = server.client.get(f"/v1/jobs/{job['id']}/{kind}.png")
        assert picture.headers["content-type"] == "image/png"
        shown[kind] = np.asarray(Image.open(io.BytesIO(picture.content)))
    (frame,) = stills(films / "film.mp4", [worst], ReadOptions())
    np.testing.assert_array_equal(shown["worst"], frame)
    assert shown["heat"].shape == frame.shape
    table = server.client.get("/v1/results.csv", params={"job": [job["id"]]})
    (row,) = csv.DictReader(io.StringIO(table.text))
    level = {"compression_level": wanted.value, "low": wanted.interval[0], "high": wanted.interval[1]}
    assert row == {
        "video": "my film.mp4",
        **{name: repr(value) for name, value in level.items()},
        "notes": "; ".join(wanted.notes),
    }
    write_timelines(tmp_path / "command.csv", {"my film.mp4": wanted.timeline})
    answer = server.client.get("/v1/timelines.csv", params={"job": [job["id"]]})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.content == (tmp_path / "command.csv").read_bytes()


def test_a_file_below_a_root_is_scored_where_it_lies(server: Server, films: Path) -> None:
    job = server.client.post("/v1/score", json={"path": "film.mp4"})
    assert server.ended(job.json()["id"]).json()["result"]["video"] == "film.mp4"
    for path in (str(films / "list.txt"), f"../{films.name}/list.txt"):
        job = server.client.post("/v1/score", json={"path": path})
        assert server.ended(job.json()["id"]).json()["error"].startswith("'list.txt' is text")
    assert (films / "list.txt").is_file(), "a file that was only named stays"


@pytest.mark.parametrize(
    ("code", "body", "sentence"),
    [
        (403, {"path": "/etc/hostname"}, "'/etc/hostname' is outside the folders of this service."),
        (403, {"path": "../../../../etc/hostname"}, "is outside"),
        (403, {"path": "outside.mp4"}, "'outside.mp4' is outside"),
        (403, {"path": "/nowhere"}, "is outside"),
        (404, {"path": "gone.mp4"}, "There is no file 'gone.mp4' in the folders of this service."),
        (404, {"path": "."}, "There is no file"),
        (400, {"path": "a\0b"}, "`path` is no path of this system."),
        (400, {"path": "a" * 4000}, "`path` is no path of this system."),
        (403, {"url": "http://127.0.0.1/film.mp4"}, "This service fetches no addresses; send the file"),
        (422, {"url": "file:///etc/hostname"}, "`url`: String should match"),
        (422, {"path": "a", "url": "http://b"}, "expected either `path` or `url`"),
        (422, {"paths": ["a"]}, "`paths`: Extra inputs"),
        (422, [], "expected"),
        (413, {"path": "a" * 70000}, "The JSON is longer than 65536 bytes"),
    ],
)
def test_what_a_request_may_not_name_is_refused(server: Server, code: int, body: object, sentence: str) -> None:
    answer = server.client.post("/v1/score", json=body)
    assert answer.status_code == code
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("noise.mp4", "'noise.mp4' yields no frames"),
        ("cut.mp4", "'cut.mp4' "),
        ("list.m3u8", "'list.m3u8' is text, such as a playlist, and no video; send the video itself."),
        ("list.txt", "'list.txt' is text, such as a playlist"),
        ("long.mp4", "'long.mp4' takes 9.0 s, but at most 5 s are scored here; cut it."),
    ],
)
def test_a_file_that_cannot_be_scored_is_one_sentence_without_a_path(
    server: Server, films: Path, name: str, sentence: str
) -> None:
    sent, named = server.send(films / name, name), server.client.post("/v1/score", json={"path": name})
    for accepted in (sent, named):
        answer = server.ended(accepted.json()["id"])
        assert answer.status_code == 422
        assert answer.json()["error"].startswith(sentence)
        assert str(films.parent.parent) not in answer.text
    assert server.uploads() == []


@pytest.mark.parametrize(
    ("code", "kind", "body", "sentence"),
    [
        (415, "text/plain", b"film", "Send the file as multipart/form-data, or name it as application/json."),
        (400, "multipart/form-data", b"film", "The content type names no boundary"),
        (400, "multipart/form-data; boundary=x", b"film", "The body is no multipart body"),
        (400, "multipart/form-data; boundary=x", b"", "The body ends before its last boundary"),
        (
            400,
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nfi',
            "ends",
        ),
        (
            400,
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nfilm\r\n--x--\r\n',
            "Send one file, as the part `file` of a multipart body.",
        ),
        (
            422,
            "multipart/form-data; boundary=x",
            PART + b"\r\n--x--\r\n",
            "The file is empty (0 bytes)",
        ),
    ],
)
def test_a_body_that_is_no_file_is_refused(server: Server, code: int, kind: str, body: bytes, sentence: str) -> None:
    answer = server.client.post("/v1/score", content=body, headers={"content-type": kind})
    assert answer.status_code == code
    assert sentence in answer.json()["error"]
    assert server.uploads() == []


def test_two_files_in_one_body_are_refused(server: Server) -> None:
    answer = server.client.post("/v1/score", files=[("file", ("a", b"a")), ("file", ("b", b"b"))])
    assert (answer.status_code, server.uploads()) == (400, [])


@pytest.mark.parametrize("told", [True, False])
def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(server: Server, told: bool) -> None:
    parts = [PART, *[b"0" * 100_000] * 30]
    body = b"".join([*parts, b"\r\n--x--\r\n"]) if told else iter([*parts, b"\r\n--x--\r\n"])
    answer = server.client.post("/v1/score", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("The file is larger than 0.2 MB")
    assert server.uploads() == []


def test_a_client_that_goes_away_leaves_nothing(server: Server) -> None:
    before = server.client.get("/health").json()["jobs"]
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        head = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        line.sendall(f"{head}Content-Length: 100000\r\n\r\n{part}".encode() + b"0" * 5000)
        wait_until(lambda: len(server.uploads()) == 1)
        assert server.client.get("/health").json()["jobs"]["receiving"] == 1
    wait_until(lambda: server.uploads() == [])
    wait_until(lambda: server.client.get("/health").json()["jobs"] == before)


@pytest.mark.parametrize("name", ["../../evil.mp4", "..\\..\\evil.mp4", "/etc/evil.mp4", "C:\\evil.mp4"])
def test_a_name_is_only_shown(server: Server, films: Path, name: str) -> None:
    job = server.send(films / "list.txt", name).json()
    assert job["name"] == "evil.mp4"
    assert server.ended(job["id"]).json()["error"].startswith("'evil.mp4' is text")
    everywhere = [path.name for path in server.folder.parent.rglob("*")]
    assert "evil.mp4" not in everywhere


def test_eight_that_are_sent_at_once_are_all_scored(server: Server, films: Path) -> None:
    with ThreadPoolExecutor(QUEUE) as pool:
        sent = list(pool.map(lambda number: server.send(films / "film.mp4", f"{number}.mp4"), range(QUEUE)))
    assert [answer.status_code for answer in sent] == [202] * QUEUE
    results = [server.ended(answer.json()["id"]).json()["result"] for answer in sent]
    assert [result["video"] for result in results] == [f"{number}.mp4" for number in range(QUEUE)]
    assert len({result["score"] for result in results}) == 1


def test_of_a_thousand_jobs_those_beyond_the_queue_are_refused_and_the_others_read(server: Server) -> None:
    (worker,) = server.workers()
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    line.connect()
    line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each waits 40 ms for the system
    taken, refused = [], []
    os.kill(worker, signal.SIGSTOP)  # so that none ends meanwhile
    for _ in range(1000):
        line.request("POST", "/v1/score", body=b'{"path": "list.txt"}', headers={"content-type": "application/json"})
        answer = line.getresponse()
        content = json.load(answer)
        if answer.status == 202:
            taken.append(content["id"])
        else:
            refused.append((answer.status, int(answer.headers["retry-after"]) > 0, content["error"]))
    line.close()
    os.kill(worker, signal.SIGCONT)
    sentence = f"{QUEUE} jobs are waiting, which is all there may be; try again later."
    assert (len(taken), len(refused)) == (QUEUE, 1000 - QUEUE)
    assert set(refused) == {(429, True, sentence)}
    assert all(server.ended(identity).json()["error"].startswith("'list.txt' is text") for identity in taken)


def test_a_monitor_reads_what_happened(server: Server) -> None:
    text = server.client.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['cvqa_jobs_ended_total{status="done"}']) > QUEUE
    assert float(values['cvqa_requests_total{code="429"}']) > 900
    assert values["cvqa_workers"] == "1"


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"host": "evil.example"}, "This service is for its own machine"),
        ({"origin": "http://evil.example"}, "Only pages of this service may post to it."),
        ({"origin": "null"}, "Only pages of this service"),
    ],
)
def test_a_foreign_page_gets_no_answer(server: Server, headers: dict[str, str], sentence: str) -> None:
    answer = server.client.post("/v1/score", json={"path": "film.mp4"}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"].startswith(sentence)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/jobs/unknown", 404),
        ("GET", "/v1/jobs/unknown/worst.png", 404),
        ("GET", "/v1/results.csv?job=unknown", 404),
        ("GET", "/v1/timelines.csv?job=unknown", 404),
        ("GET", "/v1/results.json", 422),
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/score", 405),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(server: Server, method: str, path: str, code: int) -> None:
    answer = server.client.request(method, path)
    assert answer.status_code == code
    assert answer.json()["error"].endswith(".")


def test_no_bytes_end_the_service(server: Server) -> None:
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(bytes(range(256)))
    line.request("POST", "/v1/score", body=b"{" * 1000, headers={"content-type": "application/json"})
    assert line.getresponse().status == 422
    line.close()
    assert server.client.get("/health").json()["status"] == "ok"


# The last one, for it ends the service.
def test_jobs_go_on_where_the_service_was_killed_and_a_signal_ends_all_its_processes(
    server: Server, films: Path
) -> None:
    taken = [server.send(films / "film.mp4", f"{number}.mp4").json()["id"] for number in range(2)]
    server.kill()
    (server.state / "uploads" / "left.part").write_bytes(b"of a client that was cut off")
    server.start()
    results = [server.ended(identity).json()["result"] for identity in taken]
    assert [result["video"] for result in results] == [f"{number}.mp4" for number in range(2)]
    wait_until(lambda: server.uploads() == [])
    own = [*children(server.process.pid), *server.workers()]
    assert len(own) >= 3, "the process that others are copies of, its watcher, and a worker"
    assert server.stop() == 128 + signal.SIGTERM
    wait_until(lambda: not any(Path(f"/proc/{number}").exists() for number in own))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.base}/health", trust_env=False)


def wait_until(met: object, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not met():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)
