"""Score a video with onnxruntime alone: no torch, and nothing of cvqa_models.

cvqa export compression_level --format onnx --out exported
python examples/3_onnx.py exported film.mp4
"""

import hashlib
import json
import sys
from pathlib import Path

import av
import numpy as np
import onnxruntime

folder, video = Path(sys.argv[1]), sys.argv[2]
told = json.loads((folder / "view.json").read_text())
if hashlib.sha256((folder / told["file"]).read_bytes()).hexdigest() != told["sha256"]:
    sys.exit(f"'{folder / told['file']}' is not the file that view.json describes; export it again.")
(view,) = told["inputs"]
frames, pixels = view["frames"], view["pixels"]
if (frames["rule"], pixels["rule"]) != ("UniformClips", "NativePatches"):
    sys.exit(
        f"This example shows UniformClips of NativePatches, and the model sees {frames['rule']} of {pixels['rule']}."
    )


def rgb(frame: av.VideoFrame) -> np.ndarray:
    untagged = "bt709" if frame.height >= 720 else "bt601"
    matrix = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}.get(int(frame.colorspace), untagged)
    graph = av.filter.Graph()
    exact = f"flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp:in_color_matrix={matrix}"
    steps = [graph.add("scale", exact), graph.add("format", "rgb24"), graph.add("buffersink")]
    graph.link_nodes(graph.add_buffer(template=stream), *steps).configure()
    graph.push(frame)
    return graph.vpull().to_ndarray()


clips, length, (rows, columns), side = frames["num_clips"], frames["clip_length"], pixels["grid"], pixels["patch"]
with av.open(video) as container:
    total = sum(1 for _ in container.decode(video=0))
starts = np.arange(clips) * total / clips + max(0, total / clips - length) / 2
wanted = np.minimum(starts, max(0, total - length)).astype(int)[:, None] + np.arange(length)
with av.open(video) as container:
    stream = container.streams.video[0]
    shown = {number: rgb(frame) for number, frame in enumerate(container.decode(stream)) if number in wanted}
height, width, _ = next(iter(shown.values())).shape

seen = np.empty((1, clips, 3, length, rows * side, columns * side), dtype=np.uint8)
for k in range(clips * rows * columns):
    clip, (row, column) = k // (rows * columns), divmod(k % (rows * columns), columns)
    top = int((row + (0.5 + k * 0.7548776662466927) % 1) * (height - side + 1) / rows)
    left = int((column + (0.5 + k * 0.5698402909980532) % 1) * (width - side + 1) / columns)
    for place, number in enumerate(wanted[clip]):
        patch = shown[number][top : top + side, left : left + side].transpose(2, 0, 1)
        seen[0, clip, :, place, row * side : (row + 1) * side, column * side : (column + 1) * side] = patch

session = onnxruntime.InferenceSession(folder / told["file"], providers=["CPUExecutionProvider"])
score, curve = session.run(None, {view["name"]: seen})[0][0], told["calibration"]
print(score if curve is None else np.interp(score, curve["raw"], curve["scale"]))
