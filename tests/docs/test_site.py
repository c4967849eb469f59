"""Pages and navigation agree, links lead somewhere, and what the pages promise of code is run."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import cvqa_models
from cvqa_models.corpus import ffmpeg

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorials" / "score.md"
TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in TOP), *sorted(ROOT.glob("checkpoints/*.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def nav(entries: object) -> Iterator[str]:
    """Yield the pages of mkdocs' navigation."""
    if isinstance(entries, str):
        yield entries
    elif isinstance(entries, dict):
        for entry in entries.values():
            yield from nav(entry)
    else:
        assert isinstance(entries, list)
        for entry in entries:
            yield from nav(entry)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub and mkdocs give to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def broken(page: Path, text: str) -> list[str]:
    """Return the relative links of a page's text that lead nowhere."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.M | re.S)
    found = []
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    listed = list(nav(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    outside = {entry for entry in listed if not (DOCS / entry).exists()}
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} == set(listed) - outside
    assert all((ROOT / entry).is_file() for entry in outside)
    # A link to a card that the site lacks would be shown as plain words.
    assert {f"checkpoints/{card.name}" for card in (ROOT / "checkpoints").glob("*.md")} <= outside
    assert len(listed) == len(set(listed))


def test_every_system_has_a_page() -> None:
    systems = {path.stem for path in (ROOT / "configs/model").glob("*.yaml")} | {"compression_level"}
    assert {path.stem for path in (DOCS / "systems").glob("*.md")} == systems | {"index"}
    index = (DOCS / "systems/index.md").read_text(encoding="utf-8")
    assert all(f"({name}.md)" in index for name in systems)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("link", ["gone.md", "SECURITY.md#gone", "#gone"])
def test_a_link_to_nowhere_would_be_seen(link: str) -> None:
    assert broken(ROOT / "README.md", f"see [this]({link})") == [link]


def test_the_site_loads_nothing_from_other_hosts() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert config["theme"]["font"] is False
    assert not [entry for entry in config.get("extra_javascript", []) + config["extra_css"] if "//" in entry]


def test_the_reference_holds_every_public_name() -> None:
    shown = set(re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.M))
    assert shown == {f"cvqa_models.{place}.{name}" for name, place in cvqa_models._PLACES.items()}


@pytest.mark.parametrize("place", sorted(set(cvqa_models._PLACES.values())))
def test_the_examples_of_public_names_run(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(f"cvqa_models.{place}"), optionflags=doctest.ELLIPSIS).failed == 0


def test_the_public_names_have_examples() -> None:
    assert sum(">>>" in (getattr(cvqa_models, name).__doc__ or "") for name in cvqa_models._PLACES) >= 3


def blocks(kind: str) -> str:
    return "\n".join(re.findall(rf"^```{kind}\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), re.M | re.S))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    ffmpeg.write(["-f", "lavfi", "-i", "testsrc2=s=160x90:r=10:d=2", "-c:v", "libx264", "-crf", "35"], path)
    return path


def test_the_shell_blocks_of_the_tutorial_run(film: Path) -> None:
    words = f'cvqa() {{ "{sys.executable}" -m cvqa_models "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-ec", words + blocks("bash")],
        cwd=film.parent,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert re.search(r"^film\.mp4,[\d.]+,", done.stdout, re.M)
    assert (film.parent / "seconds.csv").read_text().splitlines()[0].startswith("video,start,end,")


def test_the_python_blocks_of_the_tutorial_run(
    film: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(film.parent)
    exec(compile(blocks("python"), str(TUTORIAL), "exec"), {})
    first, second, third, fourth = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"[\d.]+ of 100, over 2\.0 s", first)
    assert re.fullmatch(r"worst second: [01] \([\d.]+\)", second)
    assert third.endswith(cvqa_models.__version__)
    assert 0 <= float(fourth) <= 100
