"""`cvqa serve` as a process of its own, and what is asked of it over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from cvqa_models.corpus import ffmpeg

ROOT = Path(__file__).resolve().parents[3]


def encode(path: Path, seconds: float = 2, size: str = "160x90") -> Path:
    source = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=10:d={seconds}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    ffmpeg.write([*source, "-c:v", "libx264", "-crf", "35", "-pix_fmt", "yuv420p"], path)
    return path


class Server:
    """A service on a free port of this machine."""

    def __init__(self, folder: Path, *words: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder, self.words = folder, words
        self.base = f"http://127.0.0.1:{self.port}"
        self.state = folder / "state"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "cvqa_models", "serve", "--port", str(self.port), "--state", str(self.state)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*command, *self.words], cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "is ready" in line, line + self.process.stderr.read()
        self.client = httpx.Client(base_url=self.base, timeout=60, trust_env=False)

    def kill(self) -> None:
        self._end("kill")

    def stop(self) -> int:
        self._end("terminate")
        return self.process.returncode

    def _end(self, how: str) -> None:
        self.client.close()
        getattr(self.process, how)()
        self.process.wait(60)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def send(self, path: Path, name: str = "film.mp4") -> httpx.Response:
        with path.open("rb") as file:
            return self.client.post("/v1/score", files={"file": (name, file)})

    def ended(self, identity: str) -> httpx.Response:
        """Return the answer of a job once it has ended."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            answer = self.client.get(f"/v1/jobs/{identity}")
            if answer.json()["status"] in ("done", "failed"):
                return answer
            time.sleep(0.05)
        raise AssertionError(answer.json())

    def uploads(self) -> list[str]:
        return sorted(path.name for path in (self.state / "uploads").iterdir())

    def workers(self) -> list[int]:
        """Return the processes that score."""
        return [worker for child in children(self.process.pid) for worker in children(child)]


def children(process: int) -> list[int]:
    """Return the processes that a process has started and that are there."""
    return [
        int(word)
        for thread in Path(f"/proc/{process}/task").iterdir()
        for word in (thread / "children").read_text().split()
    ]
