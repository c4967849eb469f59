"""Time the making of a data set: 6 references x 6 encoders x 2 presets x 3 rates at 640x360, 5 s, with VMAF.

The references are photographs in motion; VMAF takes each third frame. Prints wall and CPU seconds, the share of rates
within 4 % of their target, the time of a second run, which must find everything done, and the time of each encoder.

    python benchmarks/build_encodes.py --root DIR [--references 6] [--workers 2]
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from pathlib import Path

from cvqa_models.corpus.encoding.encode import Encode, encode_all
from cvqa_models.corpus.encoding.encoders import find_encoder
from cvqa_models.corpus.encoding.ladder import Ladder, plan, speeds_of
from cvqa_models.corpus.labels.pseudo_labels import measure_all
from cvqa_models.corpus.references import shoot_scene
from cvqa_models.corpus.synthetic.scenes import SCENES

LADDER = Ladder(
    encoders=("x264", "x265", "svt-av1", "vp9", "vvenc", "openh264"),
    presets={"fast": "named", "medium": "named"},
    quantity="kbps",
    rungs=(150, 300, 600),
)
EVERY = 3  # frames; VMAF saves time so, and on the clip where it was tried its mean moved by 0.4
CHOSEN = ("motorcycle", "flower", "tissue", "cat", "palace", "coffee")  # whose content needs such rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--references", type=int, default=len(CHOSEN))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    root, workers = arguments.root, arguments.workers

    scenes = [scene for scene in SCENES if scene.name in CHOSEN[: arguments.references]]
    clock = time.perf_counter()
    sources = [shoot_scene(one, root / "references", width=640, height=360, fps=25, seconds=5) for one in scenes]
    print(f"references: {time.perf_counter() - clock:.1f} s for {len(sources)}")

    speeds = {name: speeds_of(find_encoder(name), LADDER, sources[0], root) for name in LADDER.encoders}
    jobs = plan(sources, LADDER, speeds)
    for run in ("first run", "second run"):
        clock, cpu = time.perf_counter(), _child_cpu()
        encodes, failures = encode_all(jobs, root, workers)
        encoded = time.perf_counter()
        pairs = {one.video_id: (one.path, root / "references" / f"{one.sequence}.mkv") for one in encodes}
        _, unmeasured = measure_all(pairs, root / "proxies", every=EVERY, workers=workers)
        done = time.perf_counter()
        print(
            f"{run}: {len(encodes)} encodes in {encoded - clock:.1f} s, VMAF and PSNR in {done - encoded:.1f} s,",
            end=" ",
        )
        print(f"{_child_cpu() - cpu:.0f} CPU s on {workers} workers")
    for name, message in (failures | unmeasured).items():
        print(f"failed {name}: {message}")
    near = [abs(one.kbps / one.rung - 1) <= 0.04 for one in encodes]
    print(f"rates within 4 %: {sum(near)} of {len(near)}")
    for far in (one for one in encodes if abs(one.kbps / one.rung - 1) > 0.04):
        print(f"  {far.video_id}: {far.kbps:.0f} kb/s")
    tries = sum(len(one.tries) for one in encodes if one.rung == LADDER.rungs[-1])
    print(f"tries per encode: {tries / len(encodes):.2f}")
    print("where the time goes, seconds of all encodes of an encoder:")
    for (codec, preset), ladder in itertools.groupby(sorted(encodes, key=_kind), _kind):
        print(f"  {codec} {preset}: {sum(one.seconds for one in ladder):.1f}")


def _kind(encode: Encode) -> tuple[str, str]:
    return encode.codec, encode.preset


def _child_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
