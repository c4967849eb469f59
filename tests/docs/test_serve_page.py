"""Every block of the page on the service runs, in its order, and answers as the page says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.serve.server import Server, encode

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "serve.md"
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.slow  # it starts the service twice
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_blocks_of_the_page_on_the_service_run(tmp_path: Path) -> None:
    encode(tmp_path / "films" / "film.mp4")
    (tmp_path / "manifest.csv").write_text("video_id,path,group\na,films/film.mp4,g\nb,films/film.mp4,g\n")
    server, said = None, []
    try:
        for kind, code in BLOCKS:
            if code.startswith("cvqa serve"):
                if server is not None:
                    server.stop()
                server = Server(tmp_path, *shlex.split(code)[2:])
                continue
            assert server is not None, "the page starts it first"
            code = code.replace("http://127.0.0.1:8000", server.base)
            script = f'cvqa() {{ "{sys.executable}" -m cvqa_models "$@"; }}\n{code}'
            command = ["bash", "-ec", script] if kind == "bash" else [sys.executable, "-c", code]
            environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
        assert server is not None
        assert server.client.get("/v1/questions", params={"participant": "anna"}).json()["total"] == 1
    finally:
        if server is not None:
            server.stop()
    assert json.loads(said[0])["name"] == json.loads(said[1])["name"] == "film.mp4"
    assert 0 < float(said[2]) < 100
    assert said[3].startswith('{"status":"ok"')
    assert 'cvqa_jobs{status="done"}' in said[3]
    assert said[4].startswith("1 questions")
