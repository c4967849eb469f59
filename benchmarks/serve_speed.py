"""What the page of `cvqa serve` costs beside `cvqa score`, and eight files that come at once.

    python benchmarks/serve_speed.py [VIDEO]

The clip is VIDEO, looped and enlarged to 1920x1080, or a synthetic one: 10 s of H.264 at 2 Mb/s. `cvqa score` is the
whole command. The page is a running service: from the first byte that is sent until its answer holds the score, the
seconds, the worst frame and its heat. Each is told in seconds of a clock, and of the processor. The memory is that of
the service and its processes (Pss), the largest that was seen.
"""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from clips import hd_clip

TIMES = 3
TICK = os.sysconf("SC_CLK_TCK")


def score(clip: Path, *words: str) -> tuple[float, float]:
    start, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "cvqa_models", "score", clip, *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def sent(client: httpx.Client, clip: Path) -> str:
    with clip.open("rb") as file:
        answer = client.post("/v1/score", files={"file": file})
    answer.raise_for_status()
    identity: str = answer.json()["id"]
    return identity


def ended(client: httpx.Client, identity: str) -> str:
    while True:
        status: str = client.get(f"/v1/jobs/{identity}").json()["status"]
        if status in ("done", "failed"):
            return status
        time.sleep(0.1)


def page(client: httpx.Client, clip: Path, process: int) -> tuple[float, float]:
    start, used = time.monotonic(), sum(map(processor, family(process)))
    ended(client, sent(client, clip))
    return time.monotonic() - start, sum(map(processor, family(process))) - used


def family(process: int) -> list[int]:
    """Return a process and all below it."""
    threads = Path(f"/proc/{process}/task").iterdir()
    below = [int(word) for thread in threads for word in (thread / "children").read_text().split()]
    return [process, *(one for child in below for one in family(child))]


def processor(process: int) -> float:
    """Return the seconds that a process had of the processor."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK


def memory(process: int) -> float:
    """Return the megabytes of a process and all below it, each page counted once."""
    rollups = [Path(f"/proc/{one}/smaps_rollup").read_text().split() for one in family(process)]
    return sum(int(words[words.index("Pss:") + 1]) for words in rollups) / 1000


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as free:
        folder, port = Path(name), free.getsockname()[1]
        free.close()
        clip = hd_clip(folder / "clip.mp4", 10, sys.argv[1] if len(sys.argv) > 1 else None)
        commands = [score(clip) for _ in range(TIMES)]
        timelines = [score(clip, "--timeline", str(folder / "seconds.csv")) for _ in range(TIMES)]
        words = [sys.executable, "-m", "cvqa_models", "serve", "--port", str(port), "--state", str(folder / "state")]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            process.stderr.readline()
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, trust_env=False) as client:
                page(client, clip, process.pid)  # what is built at the first call
                pages = [page(client, clip, process.pid) for _ in range(TIMES)]
                start, most = time.monotonic(), memory(process.pid)
                with ThreadPoolExecutor(8) as pool:
                    names = list(pool.map(lambda _: sent(client, clip), range(8)))
                    answers = [pool.submit(ended, client, one) for one in names]
                    while not all(answer.done() for answer in answers):
                        most = max(most, memory(process.pid))
                        time.sleep(0.3)
                done = [answer.result() for answer in answers].count("done")
                together = time.monotonic() - start
            process.terminate()
    for place, kind in enumerate(("clock", "processor")):
        times = [statistics.median(each[place] for each in way) for way in (commands, timelines, pages)]
        command, timeline, own = times
        print(f"{kind}: cvqa score {command:.2f} s, with --timeline {timeline:.2f} s; the page {own:.2f} s")
    print(f"8 files of 10 s at once: {done} scored in {together:.1f} s, at most {most:.0f} MB")


if __name__ == "__main__":
    main()
