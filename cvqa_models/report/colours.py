"""One look for each codec, the same in every picture: a marker, and a colour that colour-blind people tell apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# Okabe and Ito's colours, with a grey in place of yellow, which is hard to see on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6b6b6b", "#882255")
_MARKERS = "osD^vPX*"
_KNOWN = ("x264", "x265", "svt-av1", "vp9", "vvenc", "openh264", "kvazaar", "libaom")
_SPELT = {
    "h264": "x264",
    "avc": "x264",
    "h265": "x265",
    "hevc": "x265",
    "av1": "svt-av1",
    "vvc": "vvenc",
    "h266": "vvenc",
}


class Look(NamedTuple):
    """Colour and marker of a codec."""

    colour: str
    marker: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each codec or encoder, in the order given.

    Encoders that `cvqa build encode` knows, and their standards, have the same look in every picture. The others get
    the remaining colours, in the order of their names.
    """
    given = list(dict.fromkeys(names))
    owner: dict[int, str] = {}
    for name in sorted(given, key=lambda one: one.lower() not in _KNOWN):  # x264 before its standard, H.264
        if _spelt(name) in _KNOWN:
            owner.setdefault(_KNOWN.index(_spelt(name)), name)
    places = {name: place for place, name in owner.items()}
    free = [place for place in range(len(_COLOURS)) if place not in owner] or list(range(len(_COLOURS)))
    for number, name in enumerate(sorted(set(given) - set(places))):
        places[name] = free[number % len(free)]
    return {name: Look(_COLOURS[places[name]], _MARKERS[places[name]]) for name in given}


def _spelt(name: str) -> str:
    plain = name.lower().replace(".", "")
    plain = plain if plain in _KNOWN else plain.removeprefix("lib")
    return _SPELT.get(plain, plain)
