"""The ladder: which encoders, speeds and rates; it is read from YAML and turned into jobs."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from reprlib import Repr
from typing import Any, Literal

from cvqa_models import plain_yaml
from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.encoding.encoders import ENCODERS, Encoder, check_present, find_encoder
from cvqa_models.corpus.folder import scratch
from cvqa_models.corpus.references import Reference

_PROBE_SECONDS = 1.0
_KEYS = {"encoders", "presets", "kbps", "crf", "tolerance"}
_PRESET = re.compile(r"\w[\w.+-]{0,63}")  # it is a part of file names
_SHORT = Repr()  # a few lines of YAML can unfold to gigabytes
_SHORT.maxlevel = 3


@dataclass(frozen=True)
class Ladder:
    """The encodes to make of every reference.

    Attributes:
        encoders: Names of encoders.
        presets: Preset of the table -> its speed: `named` for the encoder's built-in choice, the frames per second to
            reach by a measurement, or encoder -> its own speed name.
        quantity: Unit of `rungs`: target rates in kb/s (`kbps`), or fixed CRF (`crf`; QP for an encoder without CRF).
        rungs: Values, the same for every encoder.
        tolerance: Largest relative distance of a rate from its target.
    """

    encoders: tuple[str, ...]
    presets: Mapping[str, Any]
    quantity: Literal["kbps", "crf"]
    rungs: tuple[float, ...]
    tolerance: float = 0.04

    def __post_init__(self) -> None:
        for name in self.encoders:
            find_encoder(name)  # refuses unknown names
        if not self.encoders or not self.presets or not self.rungs:
            raise ValueError("A ladder needs at least one encoder, one preset and one rung; fill the empty list.")
        lowest = "above 0" if self.quantity == "kbps" else "of 0 or more"
        legal = all(math.isfinite(rung) and (rung > 0 or (rung == 0 and self.quantity == "crf")) for rung in self.rungs)
        if not legal or len(set(self.rungs)) != len(self.rungs):
            raise ValueError(f"The ladder's {self.quantity} must be different numbers {lowest}, not {self.rungs}.")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"`tolerance` is {self.tolerance}; give a share such as 0.04.")
        for name in self.encoders:
            if self.quantity == "crf":
                _check_crf(ENCODERS[name], self.rungs)
            for preset, wish in self.presets.items():
                named_speed(ENCODERS[name], preset, wish)  # refuses unknown speeds


def _check_crf(encoder: Encoder, rungs: Sequence[float]) -> None:
    knob = encoder.crf
    if knob is None:
        raise ValueError(f"The encoder '{encoder.name}' has no CRF; give it a ladder of `kbps`.")
    illegal = [rung for rung in rungs if abs(knob.nearest(rung) - rung) > 1e-6]
    if illegal:
        raise ValueError(
            f"The encoder '{encoder.name}' has no CRF {illegal[0]:g}; it takes {knob.low:g} to {knob.high:g} in steps "
            f"of {knob.step:g}."
        )


@dataclass(frozen=True)
class LadderJob:
    """The rungs of one reference, encoder and preset; one search finds them all."""

    reference: Reference
    encoder: Encoder
    preset: str
    speed: str
    quantity: Literal["kbps", "crf"]
    rungs: tuple[float, ...]
    tolerance: float

    @property
    def name(self) -> str:
        return f"{self.encoder.name}_{self.preset}_{self.reference.name}"

    def video_id(self, rung: float) -> str:
        """Return CVQAD's key of a video: codec, preset, sequence, and the rung in the column `crf`."""
        return f"{self.name}_{rung:g}"


def read(path: Path) -> Ladder:
    """Return the ladder that a YAML file describes.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If a key is unknown or missing, or a value is not allowed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The ladder '{path}' does not exist; configs/build/ladder.yaml is an example.")
    content = plain_yaml.load(path)
    if not isinstance(content, dict) or set(content) - _KEYS:
        unknown = sorted(map(str, set(content) - _KEYS)) if isinstance(content, dict) else content
        raise ValueError(f"'{path}' has unknown keys {_SHORT.repr(unknown)}; a ladder has {', '.join(sorted(_KEYS))}.")
    if ("kbps" in content) == ("crf" in content):
        raise ValueError(f"'{path}' must give either `kbps` or `crf`, a list of numbers.")
    quantity: Literal["kbps", "crf"] = "kbps" if "kbps" in content else "crf"
    encoders = content.get("encoders")
    if not isinstance(encoders, list) or not all(isinstance(name, str) for name in encoders):
        raise ValueError(f"'{path}' needs `encoders`, a list of names, and `presets`, a list or a mapping.")
    return Ladder(
        encoders=tuple(encoders),
        presets=_presets(content.get("presets"), path),
        quantity=quantity,
        rungs=_numbers(content[quantity], quantity, path),
        tolerance=_numbers([content.get("tolerance", 0.04)], "tolerance", path)[0],
    )


def _presets(content: Any, path: Path) -> dict[str, Any]:
    """Return preset -> its requested speed; names of presets must be allowed in file names."""
    if not isinstance(content, (list, dict)):
        raise ValueError(f"'{path}' needs `encoders`, a list of names, and `presets`, a list or a mapping.")
    if strange := [name for name in content if not (isinstance(name, str) and _PRESET.fullmatch(name))]:
        raise ValueError(
            f"'{path}': the preset {_SHORT.repr(strange[0])} is no name of letters, digits, `.`, `+`, `-` and `_`; "
            "give `presets: [fast]`, or a mapping from name to speed such as `presets: {fast: 30}`."
        )
    if isinstance(content, list):
        return dict.fromkeys(content, "named")
    for name, wish in content.items():
        if not all(
            isinstance(part, (str, int, float)) for part in (wish.values() if isinstance(wish, dict) else [wish])
        ):
            raise ValueError(
                f"'{path}': the preset {name!r} is {_SHORT.repr(wish)}; expected `named`, frames per second, or a "
                "mapping from encoder to speed."
            )
    return content


def as_settings(ladder: Ladder) -> dict[str, object]:
    """Return a ladder as plain values, as JSON keeps them."""
    return {**dataclasses.asdict(ladder), "encoders": list(ladder.encoders), "rungs": list(ladder.rungs)}


def _numbers(values: Any, key: str, path: Path) -> tuple[float, ...]:
    with suppress(OverflowError):
        if isinstance(values, list) and all(type(value) in (int, float) for value in values):
            return tuple(float(value) for value in values)
    raise ValueError(f"'{path}': `{key}` is {_SHORT.repr(values)}; expected numbers.")


def plan(references: Sequence[Reference], ladder: Ladder, speeds: Mapping[str, Mapping[str, str]]) -> list[LadderJob]:
    """Return one job for each reference, encoder and preset; `speeds` is encoder -> preset -> speed name."""
    return [
        LadderJob(
            reference, ENCODERS[name], preset, speeds[name][preset], ladder.quantity, ladder.rungs, ladder.tolerance
        )
        for reference in references
        for name in ladder.encoders
        if name in speeds
        for preset in ladder.presets
    ]


def speeds_of(encoder: Encoder, ladder: Ladder, probe: Reference, folder: Path) -> dict[str, str]:
    """Return preset -> speed name of one encoder, measured on `probe` if the ladder gives frames per second.

    Args:
        encoder: The encoder.
        ladder: The ladder.
        probe: Reference whose first second is encoded; its size is taken as typical for all.
        folder: Folder for temporary files of the trials.

    Raises:
        ValueError: If FFmpeg lacks the encoder, or it does not encode the probe.
    """
    check_present(encoder)
    return {
        preset: named_speed(encoder, preset, wish) or slowest_at(encoder, float(wish), probe, folder)
        for preset, wish in ladder.presets.items()
    }


def named_speed(encoder: Encoder, preset: str, wish: Any) -> str | None:
    """Return the speed of an encoder that a ladder names for a preset, None if it gives frames per second.

    Raises:
        ValueError: If the encoder has no such speed.
    """
    if type(wish) in (int, float) and 0 < wish < 1e9:
        return None
    named = wish if isinstance(wish, Mapping) else encoder.presets if wish == "named" else {}
    choice = named.get(preset if wish == "named" else encoder.name)
    if choice is None or str(choice) not in encoder.speeds:
        given = choice if isinstance(wish, Mapping) or wish == "named" else wish
        raise ValueError(
            f"The preset '{preset}' of '{encoder.name}' is {given!r}; "
            f"give one of its speeds ({', '.join(encoder.speeds)}) or frames per second."
        )
    return str(choice)


def slowest_at(encoder: Encoder, fps: float, probe: Reference, folder: Path) -> str:
    """Return the slowest speed at which an encoder reaches `fps` on this machine, or its fastest if none does."""
    names = list(encoder.speeds)
    low, high = 0, len(names) - 1
    while low < high:  # the speeds are in order, so bisection finds the slowest one
        middle = (low + high) // 2
        if _measured_fps(encoder, names[middle], probe, folder) >= fps:
            high = middle
        else:
            low = middle + 1
    return names[low]


def _measured_fps(encoder: Encoder, speed: str, probe: Reference, folder: Path) -> float:
    knob = encoder.search
    value = knob.nearest(knob.position(max(0.1 * probe.width * probe.height * float(probe.fps) / 1000, 20)))
    if not knob.logarithmic:
        value = (knob.low + knob.high) / 2
    with scratch(folder) as partial:
        start = time.perf_counter()
        arguments = [*probe.inputs, "-t", str(_PROBE_SECONDS), *encoder.arguments(speed, knob, value)]
        packets = ffmpeg.write(arguments, partial / "probe.mp4")
        return len(packets) / (time.perf_counter() - start)


def disk_estimate(references: Sequence[Reference], ladder: Ladder, lossless: bool) -> int:
    """Return the bytes that references and their encodes will take, from their sizes, lengths and target rates.

    References and lossless copies count 8 bits per pixel, and rungs of fixed quality 0.2: more than natural clips need.
    """
    total = 0.0
    copies = len(ladder.encoders) * len(ladder.presets)
    for one in references:
        pixels = one.width * one.height * one.frames
        rates = sum(rung * 1000 * one.seconds if ladder.quantity == "kbps" else 0.2 * pixels for rung in ladder.rungs)
        kept = copies * len(ladder.rungs) if lossless else 0
        total += (copies * rates + (1 + kept) * 8 * pixels) / 8
    return round(total)
