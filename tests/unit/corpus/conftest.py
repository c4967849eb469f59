from pathlib import Path

import pytest

from cvqa_models.corpus.references import Reference, shoot_scene
from cvqa_models.corpus.synthetic.scenes import Box, Mover, Scene

SCENE = Scene(
    "cat", "cat", Box(0.4, 0.5, 0.6), Box(0.6, 0.5, 0.6), movers=(Mover("flower", 0.2, (0, 0.2), (1.5, 0.9)),)
)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A clip of 20 frames, 128x96, in motion."""
    folder: Path = tmp_path_factory.mktemp("references")
    return shoot_scene(SCENE, folder, width=128, height=96, fps=25, seconds=0.8)
