"""Find the packets that a decoder needs for the wanted pictures: their groups, without pictures that no other needs.

Only packets that the standards allow to be left out are left out: the rest is a valid stream. If the bits of a file do
not prove that, there is no `Groups` for it, and every packet is decoded.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from av.packet import Packet
from av.video.stream import VideoStream

from cvqa_models.video.packet_bits import Bits, reader

HOLE = bytes(16)  # zeros, as after an interrupted copy; a packet that holds them is decoded, to find the damage


@dataclass(frozen=True)
class Groups:
    """The packets of a stream in their order, each with one picture.

    Attributes:
        stamps: Timestamp of each packet.
        bits: What the first bits of each packet say.
    """

    stamps: tuple[int, ...]
    bits: tuple[Bits, ...]

    def needed(self, wanted: Collection[int]) -> Mapping[int, bool]:
        """Return number of a needed packet -> whether the decoder must be emptied before it.

        The first packet is always needed: settings at the beginning of a stream may hold to its end.

        Args:
            wanted: Timestamps of the pictures.
        """
        chosen = set(wanted)
        starts = [number for number, bits in enumerate(self.bits) if bits.start]
        top = max(bits.layer for bits in self.bits)
        found: dict[int, bool] = {0: False}
        whole = False  # whether the group before is decoded to its end, because pictures after the next start need it
        for place, start in enumerate(starts):
            end = starts[place + 1] if place + 1 < len(starts) else len(self.stamps)
            asked = {number for number in range(start, end) if self.stamps[number] in chosen}
            after, whole_before = starts[place + 2] if place + 2 < len(starts) else len(self.stamps), whole
            whole = any(self.bits[number].joined and self.stamps[number] in chosen for number in range(end, after))
            if not asked and not whole:
                continue
            for number in range(start, end if whole else max(asked) + 1):
                bits = self.bits[number]
                if number in asked or not ((bits.free and bits.layer == top) or (bits.joined and not whole_before)):
                    found[number] = number == start and bits.open and not whole_before and number > 0
        return found


class Watch:
    """Reads the first bits of every packet of a stream as it comes, until one is unusual.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        try:
            self._read = reader(context.name, bytes(context.extradata or b""))
        except (ValueError, IndexError):
            self._read = None
        self._reorders = bool(context.has_b_frames)
        self._stamps: list[int] = []
        self._bits: list[Bits] = []

    def add(self, packet: Packet[VideoStream]) -> None:
        """Take the next packet."""
        if self._read is None:
            return
        bits = self._bits_of(packet)
        if bits is None or packet.pts is None:
            self._read = None
            return
        self._stamps.append(packet.pts)
        self._bits.append(bits)

    def _bits_of(self, packet: Packet[VideoStream]) -> Bits | None:
        if packet.is_discard or packet.is_corrupt or packet.has_sidedata("new_extradata") or self._read is None:
            return None
        data = bytes(packet)
        if HOLE in data:
            return None
        try:
            bits = self._read(data)
        except (ValueError, IndexError):  # the packet is too short
            return None
        if bits is None or (not self._bits and (not bits.start)):
            return None
        same = not bits.headers or (bits.start and (not self._bits or bits.headers == self._bits[0].headers))
        return bits if same else None

    def groups(self) -> Groups | None:
        """Return the groups; None if any packet was unusual, or no packet may be left out."""
        if self._read is None or not self._bits:
            return None
        if all(map(operator.lt, self._stamps, self._stamps[1:])) == self._reorders:
            return None  # the timestamps are times of decoding, not of showing, as in AVI
        second = next((number for number, bits in enumerate(self._bits) if bits.start and number), len(self._bits))
        if any(bits.joined for bits in self._bits[:second]):  # they refer to pictures from before the file began
            return None
        return Groups(tuple(self._stamps), tuple(self._bits))
