"""What holds for the whole suite."""

from __future__ import annotations

import os

# Workers share the cores, so each keeps to one, as do the commands that it starts: OpenMP's idle threads spin for work.
# PyTorch reads this when it is first imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
