"""Names of groups, codecs and metrics stand in a plot as they are, and change nothing else in it."""

from __future__ import annotations

import pandas as pd
import pytest

from cvqa_models.report.plots import bars, png, prediction_against_score

HOSTILE = [
    "$x^2$",
    "$\\frac{1}{$",
    "$",
    "a_b",
    "_hidden",
    "<b>&amp;",
    r"\textbf{x}",
    "[red]x[/]",
    ":car:",
    "\u4f60\u597d",
]


def frame(names: list[str]) -> pd.DataFrame:
    rows = [
        {"group": name, "codec": name, "mos": float(place), "score": float(place)} for place, name in enumerate(names)
    ]
    return pd.DataFrame(rows)


def test_names_are_shown_as_they_are() -> None:
    figure = prediction_against_score(frame(HOSTILE))
    assert png(figure).startswith(b"\x89PNG")
    titles = [axis.title for axis in figure.axes if axis.get_title()]
    labels = figure.legends[0].get_texts()
    for shown in (titles, labels):
        assert [text.get_text() for text in shown] == sorted(HOSTILE)
        assert not any(text.get_parse_math() for text in shown)


def test_names_of_bars_are_shown_as_they_are() -> None:
    figure = bars(dict.fromkeys(HOSTILE, 1.0), "$y$")
    assert png(figure).startswith(b"\x89PNG")
    labels = figure.axes[0].get_yticklabels()
    assert [text.get_text() for text in labels] == HOSTILE
    assert not any(text.get_parse_math() for text in labels)
    assert not figure.axes[0].xaxis.label.get_parse_math()


@pytest.mark.parametrize(("name", "shown"), [("a\nb\x1b[2J", r"a\nb\x1b[2J"), ("x" * 5000, "x" * 43 + "\u2026")])
def test_names_take_one_short_line(name: str, shown: str) -> None:
    figure = prediction_against_score(frame([name, "b"]))
    assert shown in [axis.get_title() for axis in figure.axes]
    assert len(png(figure)) > 1000
