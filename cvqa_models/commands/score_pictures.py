"""The pictures of `cvqa score`: frames for a plot of the timeline, and heat maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import torch

from cvqa_models.data.feature_store import file_name, write_maps
from cvqa_models.files import write_bytes
from cvqa_models.inference.heat import heat_maps
from cvqa_models.inference.scorer import Score, Scorer
from cvqa_models.types import Prediction

if TYPE_CHECKING:
    from cvqa_models.report.drawn import Heat
    from cvqa_models.video.pixel_rules import Frame


@dataclass(frozen=True)
class Pictures:
    """The pictures to draw of each video.

    Attributes:
        scorer: Scorer of the videos.
        stills: Whether the frames of its worst parts are wanted.
        maps: Folder for its score maps and their pictures; None for none.
    """

    scorer: Scorer
    stills: bool
    maps: Path | None

    @property
    def any(self) -> bool:
        """Return whether any picture is wanted."""
        return self.stills or self.maps is not None

    def of(self, file: str | Path, found: Score) -> tuple[list[Frame], Heat | None]:
        """Return the frames of a video's worst parts, and the heat maps in and around its worst frame.

        Raises:
            ValueError: If the video cannot be read.
        """
        if not self.any or found.timeline is None:
            return [], None
        from cvqa_models.report.drawn import heat_of, worst_stills  # matplotlib is slow to import

        options = self.scorer.reading
        stills = worst_stills(file, found.timeline, options) if self.stills else []
        maps_at = partial(heat_maps, self.scorer, file, found)
        return stills, None if self.maps is None else heat_of(file, found.timeline, options, maps_at)

    def write(self, path: str, found: Score, heat: Heat | None) -> None:
        """Write the score maps of a video and their pictures, if they are wanted.

        Raises:
            ValueError: If the system has no score maps, or the folder cannot be written.
        """
        if self.maps is None:
            return
        name = PurePosixPath(path).name
        maps = dict(found.maps)
        if heat is not None:
            write_bytes(self.maps / f"{file_name(name)}.png", heat.picture)
            write_bytes(self.maps / f"{file_name(name)}.mp4", heat.video)
            maps = {key: torch.from_numpy(values) for key, values in heat.maps.items()} | maps
        write_maps(self.maps, Prediction(name, "", found.value, maps=maps))
