"""The two pages of the service. Each is one file, and loads nothing from other hosts."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from importlib.resources import files

from starlette.responses import HTMLResponse

from cvqa_models.report.colours import looks
from cvqa_models.report.html import page

NUM_COLOURS = 8


@functools.cache
def score_page() -> HTMLResponse:
    """Return the page on which users drop videos and see their scores."""
    colours = [look.colour for look in looks(map(str, range(NUM_COLOURS))).values()]
    return _page("Video quality", "score_page.html", {"COLOURS": json.dumps(colours)})


@functools.cache
def vote_page() -> HTMLResponse:
    """Return the page on which viewers compare videos."""
    return _page("Which looks better?", "vote_page.html", {})


def _page(title: str, name: str, values: dict[str, str]) -> HTMLResponse:
    text = (files("cvqa_models.serve") / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"/*{key}*/", value)
    return HTMLResponse(page(title, [text]), headers={"content-security-policy": _policy(text)})


def _policy(text: str) -> str:
    """Return what a browser allows a page: to run its own scripts, and to reach this service."""
    programs = re.findall(r"<script>(.*?)</script>", text, re.S)
    digests = [base64.b64encode(hashlib.sha256(program.encode()).digest()).decode() for program in programs]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src 'self' data:; "
        "media-src blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
