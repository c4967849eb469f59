"""The two pages in Chromium, with a real service behind them; and every address against its description."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

import cvqa_models
from tests import chromium
from tests.chromium import Browser
from tests.unit.serve.server import Server, encode

VIDEOS = ("one", "two", "three")
WIDE, PHONE = (1280, 900), (390, 844)
browsing = pytest.mark.skipif(chromium.PROGRAM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panel")
    for number, name in enumerate(VIDEOS):
        encode(folder / f"{name}.mp4", 1 + number)
    (folder / "text.mp4").write_text("no video")
    rows = [f"{name},{name}.mp4" for name in VIDEOS]
    (folder / "manifest.csv").write_text("\n".join(["video_id,path", *rows]) + "\n")
    (folder / "questions.csv").write_text("group,left,right,expected\ng,one,two,\ng,two,one,left\n")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    test = ("--questions", "questions.csv", "--videos", "manifest.csv", "--votes", "votes.csv")
    server = Server(folder, "--workers", "1", "--megabytes", "1", *test)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.end()


@browsing
def test_files_that_are_dropped_get_scores_timelines_and_worst_frames(
    server: Server, browser: Browser, folder: Path
) -> None:
    browser.open(server.base, *WIDE)
    browser.drop("#drop", folder / "two.mp4", folder / "three.mp4", folder / "text.mp4")
    browser.until("films.length === 3 && films.every((film) => film.ended)")
    browser.until("document.querySelectorAll('figure img').length === 4")
    scorer = cvqa_models.load(device="cpu")
    for place, name in enumerate(("two", "three")):
        wanted = scorer(folder / f"{name}.mp4", seconds=True)
        card = browser.run(f"films[{place}].box.innerText")
        assert f"{name}.mp4" in card
        assert f"{wanted.value:.1f}" in card
        assert f"worst second: {wanted.seconds.index(min(wanted.seconds)) + 0.5:.1f} s" in card
        assert browser.run(f"films[{place}].box.querySelector('img').naturalWidth") > 100
        # The line has two points for each second, at the levels that Python gives.
        path = browser.run(f"films[{place}].box.querySelector('.curve').getAttribute('d')")
        heights = [float(height) for _, height in re.findall(r"([\d.]+) ([\d.]+)", path)][::2]
        order = sorted(range(len(heights)), key=heights.__getitem__)
        assert order == sorted(range(len(heights)), key=lambda part: -wanted.seconds[part])
    assert "'text.mp4' is text" in browser.run("films[2].box.innerText")
    assert browser.run("at('say').textContent") == "2 of 3 scored"
    assert browser.faults == []


@browsing
def test_one_cursor_reads_all_timelines(browser: Browser) -> None:
    browser.run("films[1].box.querySelector('svg').focus()")
    browser.do("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    assert browser.run("films.slice(0, 2).map((film) => film.read.textContent)") == [
        f"1.0 s: {browser.run(f'short(films[{place}].result.seconds[1])')}" for place in (0, 1)
    ]
    browser.run("point(2.5, 3)")
    assert browser.run("films[0].read.textContent") == "", "a shorter video has ended"


@browsing
@pytest.mark.parametrize("dark", [False, True])
def test_results_are_there_after_a_reload_and_fit_a_phone(server: Server, browser: Browser, dark: bool) -> None:
    browser.open(server.base, *PHONE, dark=dark)
    browser.until("document.querySelectorAll('figure img').length === 4")
    assert browser.run("document.documentElement.scrollWidth") == PHONE[0]
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (paper != "rgb(255, 255, 255)") is dark
    assert browser.run("parseFloat(getComputedStyle(document.querySelector('svg text')).fontSize)") >= 11


@browsing
def test_results_are_taken_away_as_files(server: Server, browser: Browser, folder: Path, tmp_path: Path) -> None:
    table = server.client.get(browser.run("at('csv').getAttribute('href')")).text
    assert table.splitlines()[0] == "video,compression_level,low,high,notes"
    assert [row.split(",")[0] for row in table.splitlines()[1:]] == ["two.mp4", "three.mp4"]
    seconds = server.client.get(browser.run("at('seconds').getAttribute('href')")).text
    assert [row.split(",")[0] for row in seconds.splitlines()] == ["video", *2 * ["two.mp4"], *3 * ["three.mp4"]]
    jobs = server.client.get(browser.run("at('json').getAttribute('href')")).json()
    assert [job["status"] for job in jobs] == ["done", "done", "failed"]
    browser.do("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.run("at('html').click()")
    for _ in range(100):
        if (tmp_path / "scores.html").is_file():
            break
        browser.run("pause(100)")
    page = (tmp_path / "scores.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4
    assert "<script" not in page
    assert "three.mp4" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page), "it needs no other file"


@browsing
def test_a_viewer_sees_both_videos_before_she_answers_and_may_replay(
    server: Server, browser: Browser, folder: Path
) -> None:
    browser.open(f"{server.base}/vote", *PHONE)
    browser.run("at('name').value = ' anna '; document.querySelector('form button').click()")
    browser.until("question !== null")
    first = browser.run("question")
    assert browser.run("at('left-better').disabled")
    browser.press("1")
    assert not (folder / "votes.csv").read_text().count("anna"), "no answer counts before both were seen"
    browser.until("seen")
    browser.press("r")
    assert browser.run("!at('left').paused && !at('right').paused")
    assert browser.until("loaded.size === 2"), "the next pair is loaded meanwhile"
    browser.press("2")
    browser.until(f"question !== null && question !== {first} && seen")
    browser.run("at('right-better').click()")
    browser.until("at('say').textContent === 'Thank you. All 2 questions are answered.'")
    assert browser.run("document.documentElement.scrollWidth") == PHONE[0]
    votes = pd.read_csv(folder / "votes.csv", keep_default_na=False)
    assert sorted(votes["answer"]) == ["equal", "right"]
    assert set(votes["participant"]) == {"anna"}
    assert browser.faults == []


def test_a_viewer_is_told_neither_names_nor_what_is_expected(server: Server) -> None:
    state = server.client.get("/v1/questions", params={"participant": "bea"})
    assert set(state.json()) == {"total", "answered", "questions"}
    video = server.client.get(f"/v1/questions/{state.json()['questions'][0]}/left", headers={"range": "bytes=0-99"})
    assert video.status_code == 206
    assert not any(name in str(video.headers) for name in VIDEOS)


def test_the_same_answer_twice_is_refused(server: Server) -> None:
    vote = {"participant": "carl", "question": 0, "answer": "equal"}
    assert server.client.post("/v1/votes", json=vote).json() == {"total": 2, "answered": 1, "questions": [1]}
    again = server.client.post("/v1/votes", json=vote)
    assert (again.status_code, again.json()["error"].partition(";")[0]) == (
        409,
        "This question has its answer from this viewer",
    )
    strange = server.client.post("/v1/votes", json={**vote, "answer": "both"})
    assert strange.status_code == 422
    assert strange.json()["error"].startswith("`answer`: Input should be 'left', 'right' or 'equal'")


@pytest.mark.parametrize("path", ["/", "/vote"])
def test_a_page_may_run_its_own_program_only(server: Server, path: str) -> None:
    answer = server.client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/=]+';", policy)
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", answer.text)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs schemathesis")
def test_every_address_answers_as_it_is_described(server: Server, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.base}/openapi.json"]
    options = ["--max-examples", "3", "--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert json.loads(server.client.get("/health").text)["status"] == "ok"
