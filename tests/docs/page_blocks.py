"""Run the blocks of a documentation page, one after the other, as a reader would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_blocks(page: Path, folder: Path) -> str:
    """Run all blocks of bash and Python of a page in a folder, and return what they print; the first error ends it."""
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    assert blocks, f"{page} has no blocks"
    script = f'cvqa() {{ "{sys.executable}" -m cvqa_models "$@"; }}\n'
    for kind, code in blocks:
        script += code if kind == "bash" else f"\"{sys.executable}\" - <<'END'\n{code}END\n"
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
