"""Parts of a self-contained HTML page: its style, tables, and pictures inside the file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import pandas as pd

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --faint: #555; --line: #ddd }
:root { --head: #f5f5f5; --bad: #b00020 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dde2e6; --paper: #1d2126; --faint: #a9b2ba; --line: #3a424b; --head: #2a3037; --bad: #ff8a73 }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
body { color: var(--ink); background: var(--paper); overflow-wrap: anywhere }
.wide { overflow-x: auto } .wide * { overflow-wrap: normal }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line) }
th { text-align: left; background: var(--head) } td { font-variant-numeric: tabular-nums }
td + td, th + th { text-align: right !important } img { max-width: 100%; background: #fff; border-radius: 4px }
figure { margin: 0 } figcaption { color: var(--faint) }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1rem }
.many { overflow-x: auto } .many img { max-width: none; width: 70rem }
.plot { overflow-x: auto } .plot img { min-width: 38rem }
.note { color: var(--faint) } .warning { color: var(--bad); font-weight: bold }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Return a whole page, made of parts in HTML."""
    head = "<!doctype html><html lang=en><meta charset=utf-8>"
    head += f"<meta name=viewport content='width=device-width'><title>{escape(title)}</title><style>{STYLE}</style>"
    return head + "\n".join(parts) + "</html>\n"


def table(frame: pd.DataFrame) -> str:
    """Return a table; if it is wider than the page, it scrolls by itself."""
    html: str = frame.to_html(
        index=False, border=0, float_format=lambda value: f"{value:.4f}", na_rep="-", justify="left"
    )
    return f"<div class=wide>{html}</div>"


def plot(content: bytes, name: str) -> str:
    """Return a plot as a part of the page, which scrolls by itself where it would be too small to read."""
    return f"<figure class=plot>{picture(content, name)}</figure>"


def picture(content: bytes, name: str) -> str:
    """Return a PNG file as a part of the page; screen readers read `name`."""
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'
