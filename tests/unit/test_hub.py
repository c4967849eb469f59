"""Files on a model hub, against a local server that answers as a hub does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CONTENT = b"weights" * 1000
DOWNLOAD = "GET /owner/name/resolve/main/model.safetensors"
Told = Callable[..., subprocess.CompletedProcess[str]]


class Hub(BaseHTTPRequestHandler):
    """One repository, owner/name, with one file of CONTENT; it notes what was asked."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()
        self.wfile.write(CONTENT)

    def _answer(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        if not self.path.endswith("/resolve/main/model.safetensors") or "other" in self.path:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Run a line of Python in a process of its own whose hub is the local one, since its client reads that once."""
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hub")}

    def run(code: str, **more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", f"from cvqa_models import hub; {code}"]
        environment = {**os.environ, "HOME": str(tmp_path), **here, **more}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    yield run
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_once_and_found_without_a_connection(told: Told) -> None:
    line = "print(hub.cached('owner/name', 'model.safetensors'), hub.fetch('owner/name', 'model.safetensors'))"
    before, path = told(line).stdout.split()
    assert before == "None"
    assert Path(path).read_bytes() == CONTENT
    assert Hub.asked.count(DOWNLOAD) == 1
    assert told("print(hub.cached('a b//', 'x'))").stdout.strip() == "None"
    assert told(line, HF_HUB_OFFLINE="1").stdout.split() == [path, path]
    assert Hub.asked.count(DOWNLOAD) == 1


def test_what_cannot_be_fetched_is_one_sentence(told: Told) -> None:
    said = told("hub.fetch('owner/other', 'model.safetensors')").stderr
    assert "'model.safetensors' of owner/other cannot be fetched (404" in said
    assert "is no repository of a hub; expected OWNER/NAME" in told("hub.fetch('a b//', 'x')").stderr
    said = told("hub.fetch('owner/name', 'model.safetensors')", HF_HUB_OFFLINE="1").stderr
    assert "is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it; unset it" in said


def test_weights_on_a_hub_go_through_its_client_and_are_checked(told: Told) -> None:
    name = "timm/resnet18.a1_in1k"
    start = "from cvqa_models.weights import files; "
    path = told(f"{start}print(files.fetch('{name}'))").stdout.strip()
    assert Path(path).read_bytes() == CONTENT
    assert Hub.asked[-1] == f"GET /{name}/resolve/main/model.safetensors"
    assert told(f"{start}print(files.resolve('{name}'))", HF_HUB_OFFLINE="1").stdout.strip() == path
    row = f"files.Published('x.safetensors', files.HUB + '/{name}/resolve/main/model.safetensors', 'f' * 64)"
    said = told(f"{start}files.PUBLISHED['x'] = {row}; files.fetch('x')").stderr
    assert f"gave a file with sha256 {hashlib.sha256(CONTENT).hexdigest()}, expected {'f' * 64}; nothing" in said
    assert not Path(path).exists()
