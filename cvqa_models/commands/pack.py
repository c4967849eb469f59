"""`cvqa pack`: put the features of many videos into few files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from cvqa_models.ending import MISTAKE
from cvqa_models.files import check_there, write_json
from cvqa_models.messages import say

NAMED = 20  # how many damaged files are named on the screen


def pack(store: Path, /, *, float16: list[str] | None = None, json: Path | None = None) -> int:
    """Move the features of single videos into few large files, which training reads row by row.

    `cvqa extract` writes one file per video and branch. For tens of thousands of videos, such files take minutes to
    open and all memory to hold. From packed features, training starts in seconds, and holds only what a batch needs.
    More features can be extracted later into the same store, and packed too.

    Damaged files are named, and are not removed; the exit code is then 2.

    Args:
        store: Folder of the store.
        float16: Branches that are stored in half the bytes, by the names of their folders or by patterns. The loss of
            their values is printed. Scores change by about as little, and are no longer equal to the bit.
        json: File for the result.

    Examples:
        cvqa pack data/features
        cvqa pack data/features --float16 'SlowFast-*'
    """
    check_there("store", store)
    from cvqa_models.data.packing import pack_store  # torch is slow to import

    found = pack_store(store, float16=float16 or [])
    for branch, count in found.videos.items():
        loss = found.loss.get(branch)
        lost = "" if loss is None else f", float16, which took {loss:.2g} of their root mean square"
        say(f"{branch}: {count} videos packed{lost}")
    say(f"{sum(found.videos.values())} files in {found.shards} shards, {len(found.damaged)} damaged ones left")
    if json is not None:
        write_json(json, asdict(found))
    for reason in found.damaged[:NAMED]:
        say(f"cvqa: {reason}", stderr=True)
    if len(found.damaged) > NAMED:
        say(f"cvqa: and {len(found.damaged) - NAMED} more", stderr=True)
    return MISTAKE if found.damaged else 0
