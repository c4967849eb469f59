"""Read from the first bits of a packet whether decoding may begin there, and whether other pictures refer to it.

H.264 (ITU-T H.264, 7.3 and 7.4), HEVC (H.265, 7.4.2.2), VP9 (bitstream specification 0.6, 6.2 and Annex B) and AV1
(specification 1.0.0, 5.3 and 5.9). A packet that is not as in nearly all files gives `None`: nothing is known of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple


class Bits(NamedTuple):
    """What the bits of one packet say; it holds one picture.

    Attributes:
        start: No picture from here on refers to earlier ones, except pictures that are `joined`.
        open: A start that does not reset the decoder, so the decoder must be emptied before it.
        joined: The picture may refer to pictures on both sides of the last start.
        free: No picture of the same `layer` refers to this one.
        layer: Temporal layer; pictures refer only to pictures of the same or a lower layer.
        headers: Parameter sets in the packet.
    """

    start: bool = False
    open: bool = False
    joined: bool = False
    free: bool = False
    layer: int = 0
    headers: tuple[bytes, ...] = ()


Reader = Callable[[bytes], Bits | None]


def reader(codec: str, extradata: bytes) -> Reader | None:
    """Return a function that reads the packets of a codec; None if there is none for the codec.

    Args:
        codec: FFmpeg's name of the decoder.
        extradata: Header of the stream in its container.
    """
    if codec == "h264":
        size = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 6 else 0
        return (lambda data: _h264(data, size)) if _progressive(extradata, size) else None
    if codec == "hevc":
        size = (extradata[21] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 22 else 0
        return lambda data: _hevc(data, size)
    return {"vp9": _vp9, "libdav1d": _av1, "av1": _av1}.get(codec)


def _units(data: bytes, size: int) -> Iterator[bytes]:
    """Yield the units of a packet. Before each stands its length in `size` bytes, or a start code if `size` is 0.

    Raises:
        ValueError: If the lengths do not add up to the packet.
    """
    if size == 0:
        pieces = data.split(b"\0\0\1")
        if pieces[0].strip(b"\0") or len(pieces) == 1:
            raise ValueError("no start code")
        yield from pieces[1:]
        return
    place = 0
    while place < len(data):
        length = int.from_bytes(data[place : place + size], "big")
        place += size
        if length == 0 or place + length > len(data):
            raise ValueError("a unit is longer than its packet")
        yield data[place : place + length]
        place += length


# H.264 ----------------------------------------------------------------------------------------------------------------

_SLICE, _IDR, _SPS, _PPS = 1, 5, 7, 8
_SAID = {6, 9, 12}  # messages, delimiters and filling: they hold no picture


def _h264(data: bytes, size: int) -> Bits | None:
    kinds, begun, referred, headers = set(), 0, 0, []
    for unit in _units(data, size):
        kind = unit[0] & 31
        if kind in (_SLICE, _IDR):
            kinds.add(kind)
            begun += unit[1] >> 7  # the first macroblock of the picture is in this slice
            referred |= unit[0] & 0x60
        elif kind in (_SPS, _PPS):
            headers.append(unit.rstrip(b"\0"))
        elif kind not in _SAID:
            return None
    if begun != 1 or len(kinds) != 1 or any(unit[0] & 31 == _SPS and not _whole_frames(unit) for unit in headers):
        return None
    return Bits(start=kinds == {_IDR}, free=not referred, headers=tuple(headers))


def _progressive(extradata: bytes, size: int) -> bool:
    """Return whether all parameter sets in a header rule fields out."""
    if size == 0:
        units = [piece for piece in extradata.split(b"\0\0\1")[1:] if piece]
        found = [unit for unit in units if unit[0] & 31 == _SPS]
        return all(map(_whole_frames, found))
    place, found = 6, []
    for _ in range(extradata[5] & 31):
        length = int.from_bytes(extradata[place : place + 2], "big")
        found.append(extradata[place + 2 : place + 2 + length])
        place += 2 + length
    return bool(found) and all(map(_whole_frames, found))


def _whole_frames(unit: bytes) -> bool:
    """Return whether a sequence parameter set says that no picture is a field, and that no frame number is left out."""
    bits = _Bits(unit[1:].replace(b"\0\0\3", b"\0\0"))
    profile = bits.take(8)
    bits.take(16)
    bits.number()
    if profile in {100, 110, 122, 244, 44, 83, 86, 118, 128}:
        if bits.number() == 3:  # chroma_format_idc
            bits.take(1)
        bits.number()
        bits.number()
        if bits.take(2) & 1:  # a scaling matrix follows; it is not read here
            return False
    bits.number()
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        return False
    bits.number()
    gaps = bits.take(1)
    bits.number()
    bits.number()
    return bits.take(1) == 1 and not gaps


class _Bits:
    """Bits of a header, from the first on; after its end come zeros."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data[:64].ljust(64, b"\0"), "big"), 512

    def take(self, count: int) -> int:
        """Return the next `count` bits as a whole number."""
        self._left -= count
        if self._left < 0:
            raise ValueError("a header is longer than it may be")
        return (self._value >> self._left) & ((1 << count) - 1)

    def number(self) -> int:
        """Return the next Exp-Golomb number (H.264, 9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


# HEVC -----------------------------------------------------------------------------------------------------------------

_IDRS, _CRA, _RASL, _SETS = {19, 20}, 21, {8, 9}, {32, 33, 34}
_HIGHEST_TRAILING = 9  # pictures that are no starts are of types 0 to 9, even ones without successors in their layer
_HEVC_SAID = {35, 38, 39, 40}


def _hevc(data: bytes, size: int) -> Bits | None:
    kinds, layers, begun, headers = set(), set(), 0, []
    for unit in _units(data, size):
        kind, nuh_layer = unit[0] >> 1 & 63, (unit[0] & 1) << 5 | unit[1] >> 3
        if nuh_layer:  # it belongs to a second view or a finer picture
            return None
        if kind <= _HIGHEST_TRAILING or kind in _IDRS or kind == _CRA:
            kinds.add(kind)
            layers.add((unit[1] & 7) - 1)
            begun += unit[2] >> 7  # the first slice of the picture
        elif kind in _SETS:
            headers.append(unit.rstrip(b"\0"))
        elif kind not in _HEVC_SAID:
            return None
    if begun != 1 or len(kinds) != 1 or len(layers) != 1:
        return None
    (kind,), (layer,) = kinds, layers
    free = kind <= _HIGHEST_TRAILING and kind % 2 == 0
    return Bits(kind in _IDRS or kind == _CRA, kind == _CRA, kind in _RASL, free, layer, tuple(headers))


# VP9 and AV1 ----------------------------------------------------------------------------------------------------------


def _vp9(data: bytes) -> Bits | None:
    frames = list(_vp9_frames(data))
    first = [_Bits(frame[:8]) for frame in frames]
    shown, keys = 0, []
    for bits in first:
        marker, low, high = bits.take(2), bits.take(1), bits.take(1)
        if marker != 2 or (low and high and bits.take(1)):
            return None
        if bits.take(1):  # shows a picture that was decoded before
            shown += 1
            keys.append(False)
            continue
        keys.append(not bits.take(1))
        shown += bits.take(1)
    if shown != 1:
        return None
    start = keys[0]
    if any(keys[1:]) or (start and len(frames) > 1):
        return None
    # Sync code, colours and size; if they differ from the first ones, another stream begins.
    return Bits(start=start, headers=(frames[0][1:9],) if start else ())


def _vp9_frames(data: bytes) -> Iterator[bytes]:
    """Yield the frames of a packet, by the index at its end if it has one.

    Raises:
        ValueError: If the sizes in the index are larger than the packet.
    """
    marker = data[-1]
    count, size = (marker & 7) + 1, (marker >> 3 & 3) + 1
    length = 2 + count * size
    if marker & 0xE0 != 0xC0 or len(data) < length or data[-length] != marker:
        yield data
        return
    place = 0
    for number in range(count):
        start = len(data) - length + 1 + number * size
        frame = int.from_bytes(data[start : start + size], "little")
        if frame == 0 or place + frame > len(data) - length:
            raise ValueError("an index tells of more than there is")
        yield data[place : place + frame]
        place += frame


_SEQUENCE, _FRAME_HEADER, _TILES, _FRAME = 1, 3, 4, 6
_AV1_SAID = {2, 5, 15}  # delimiters, metadata, padding


def _av1(data: bytes) -> Bits | None:
    shown, starts, headers = 0, [], []
    for kind, payload in _av1_units(data):
        if kind in (_FRAME_HEADER, _FRAME):
            bits = _Bits(payload[:8])
            again, frame_type, visible = bits.take(1), bits.take(2), bits.take(1)
            shown += again or visible
            starts.append(not again and frame_type == 0 and bool(visible))
        elif kind == _SEQUENCE:
            headers.append(payload)
        elif kind != _TILES and kind not in _AV1_SAID:
            return None
    if shown != 1 or any(starts[1:]):
        return None
    return Bits(start=starts[0], headers=tuple(headers))


def _av1_units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, payload) of the units of a packet.

    Raises:
        ValueError: If the sizes do not add up to the packet, or a unit belongs to a layer.
    """
    place = 0
    while place < len(data):
        header = data[place]
        place += 1
        if header & 0x81 or header & 4 or not header & 2:  # reserved bits, layers, no size
            raise ValueError("not the usual header")
        length = shift = 0
        while True:
            byte = data[place]
            place += 1
            length |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
        if place + length > len(data):
            raise ValueError("a unit is longer than its packet")
        yield header >> 3 & 15, data[place : place + length]
        place += length
