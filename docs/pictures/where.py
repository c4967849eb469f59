"""Draw `where-timeline.png`, `where-heat.png` and `where-several.png`: a film of three scenes, hurt in known places.

python docs/pictures/where.py

The scenes are photographs in the public domain (an astronaut, a rocket, a cat), put in motion. In the second one a
second went through a hard encode; in the third one the picture stands still for half a second.
"""

import tempfile
from pathlib import Path

from PIL import Image

from cvqa_models.commands.score import score
from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.references import shoot_scene
from cvqa_models.corpus.synthetic.scenes import SCENES

SHOWN = ("astronaut", "rocket", "cat")
HURT = (
    "[1:v]trim=1:2,setpts=PTS-STARTPTS[bad];[0:v]trim=0:1[a];[0:v]trim=2,setpts=PTS-STARTPTS[c];[a][bad][c]concat=n=3"
)
STILL = "trim=end_frame=63,loop=loop=12:size=1:start=30,setpts=N/FRAME_RATE/TB"


def film(folder: Path) -> Path:
    """Write the film, 9 seconds of 640x360, nearly lossless, and return it."""
    parts = []
    for name in SHOWN:
        scene = next(one for one in SCENES if one.name == name)
        source = shoot_scene(scene, folder, width=640, height=360, fps=25, seconds=3)
        part = folder / f"part-{name}.mkv"
        ffmpeg.run([*source.inputs, "-vf", STILL if name == "cat" else "null", "-c:v", "ffv1", part])
        parts.append(part)
    bad, hurt = folder / "bad.mkv", folder / "hurt.mkv"
    ffmpeg.run(["-i", parts[1], "-c:v", "libx264", "-crf", "44", bad])
    ffmpeg.run(["-i", parts[1], "-i", bad, "-lavfi", HURT, "-c:v", "ffv1", hurt])
    inputs = [word for part in (parts[0], hurt, parts[2]) for word in ("-i", part)]
    target = folder / "film.mp4"
    ffmpeg.run([*inputs, "-lavfi", "concat=n=3", "-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p", target])
    return target


def main() -> None:
    """Make the film and two encodes of it, and keep the pictures that the command draws."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = film(folder)
        score([str(whole)], timeline=[folder / "one.png"], maps=folder / "maps")
        encodes = [str(folder / f"{encoder}.mp4") for encoder in ("x264", "x265")]
        ffmpeg.run(["-i", whole, "-c:v", "libx264", "-preset", "veryfast", "-b:v", "400k", encodes[0]])
        ffmpeg.run(["-i", whole, "-c:v", "libx265", "-preset", "fast", "-b:v", "400k", encodes[1]])
        score(encodes, timeline=[folder / "two.png"])
        kept = {"timeline": "one.png", "heat": "maps/film.mp4.png", "several": "two.png"}
        for kind, file in kept.items():
            picture = Image.open(folder / file).convert("RGB")
            # Plots need no more colours, and the repository is spared the bytes.
            shown = picture if kind == "heat" else picture.quantize(192)
            shown.save(here / f"where-{kind}.png", optimize=True)


if __name__ == "__main__":
    main()
