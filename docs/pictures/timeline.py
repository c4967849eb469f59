"""Draw `timeline.svg`: the level of each second of a real clip, one second of which was compressed too far.

python docs/pictures/timeline.py CLIP

The figure in the README is of a clip of 720 lines and 8 seconds, whose sixth second x264 encoded again at CRF 46.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import imageio_ffmpeg

import cvqa_models

BAD = 5  # the second that is damaged, from 0
STYLE = """
  .sheet { fill: #ffffff } .bar { fill: #4c7a9e } .bad { fill: #c4452f } .grid { stroke: #d8dde2 }
  text { font: 15px system-ui, sans-serif; fill: #3a4148 } .number { text-anchor: middle } .strong { fill: #c4452f }
  @media (prefers-color-scheme: dark) {
    .sheet { fill: #1d2126 } .bar { fill: #7fb0d6 } .bad, .strong { fill: #ff8a73 } .grid { stroke: #3a424b }
    text { fill: #d5dbe1 }
  }
"""


def damaged(clip: Path, out: Path) -> None:
    """Write the clip with one second that went through a hard encode; the rest is kept at CRF 12."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    hard = out.with_name("hard.mp4")
    run = [program, "-v", "error", "-y"]
    subprocess.run([*run, "-i", clip, "-an", "-c:v", "libx264", "-crf", "46", hard], check=True)
    parts = f"[0:v]trim=0:{BAD}[a];[1:v]trim={BAD}:{BAD + 1},setpts=PTS-STARTPTS[b];"
    parts += f"[0:v]trim={BAD + 1},setpts=PTS-STARTPTS[c];[a][b][c]concat=n=3"
    whole = ["-filter_complex", parts, "-c:v", "libx264", "-crf", "12", out]
    subprocess.run([*run, "-i", clip, "-i", hard, *whole], check=True)


def drawn(score: cvqa_models.Score) -> str:
    """Return the figure as SVG."""
    worst = min(range(len(score.seconds)), key=score.seconds.__getitem__)
    width, height, left, base = 760, 300, 56, 240
    step = (width - left - 24) / len(score.seconds)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>Compression level of each second: {', '.join(f'{one:.0f}' for one in score.seconds)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="sheet" width="{width}" height="{height}" rx="8"/>',
        f'<text x="{left}" y="30">Compression level of each second; the whole clip: {score.value:.1f}</text>',
    ]
    for level in (0, 50, 100):
        y = base - 1.8 * level
        lines.append(f'<path class="grid" d="M{left} {y:.0f}H{width - 24}"/>')
        lines.append(f'<text x="{left - 10}" y="{y + 5:.0f}" text-anchor="end">{level}</text>')
    for number, level in enumerate(score.seconds):
        x, tall = left + (number + 0.5) * step, 1.8 * level
        kind = "bad" if number == worst else "bar"
        lines.append(
            f'<rect class="{kind}" x="{x - 0.36 * step:.1f}" y="{base - tall:.1f}" width="{0.72 * step:.1f}" '
            f'height="{tall:.1f}" rx="3"/>'
        )
        lines.append(f'<text class="number" x="{x:.1f}" y="{base - tall - 8:.1f}">{level:.1f}</text>')
        name = f"{number} s" if number != worst else "bad second"
        strong = " strong" if number == worst else ""
        lines.append(f'<text class="number{strong}" x="{x:.1f}" y="{base + 24}">{name}</text>')
    lines.append(f'<text x="{left}" y="{base + 48}">0 is ruined, 100 is clean; no reference was used</text>')
    return "\n".join([*lines, "</svg>\n"])


def main() -> None:
    """Damage the clip, score it, draw."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        damaged(Path(sys.argv[1]), clip)
        score = cvqa_models.load("compression_level", device="cpu")(clip, seconds=True)
    print(score.value, score.seconds)
    Path(__file__).with_name("timeline.svg").write_text(drawn(score), encoding="utf-8")


if __name__ == "__main__":
    main()
