"""Check the arguments of `cvqa score`, before slow imports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from cvqa_models.data.videos import EXTENSIONS, STILLS
from cvqa_models.files import check_there
from cvqa_models.remote import remote
from cvqa_models.shipped import find_config

TIMELINES = (".csv", ".json", ".png", ".svg")


def videos_and_models(videos: list[str], models: list[str]) -> tuple[list[str], list[str]]:
    """Return videos and names of models; videos after `--model` were parsed as models, and are moved."""
    if videos or not models:
        return videos, models
    names = [index for index, word in enumerate(models) if not _is_video(word)]
    end = names[-1] + 1 if names else 0
    return models[end:], models[:end]


def _is_video(word: str) -> bool:
    path = Path(word)
    return _is_address(word) or path.suffix.lower() in (*EXTENSIONS, *STILLS, ".txt", ".csv")


def _is_address(word: str) -> bool:
    return word.startswith(("http://", "https://")) or remote(word) is not None


def check_words(
    videos: Sequence[str | Path],
    models: Sequence[str],
    checkpoint: Path | None,
    config: Sequence[Path] | None,
    single: Mapping[str, object],
    *,
    out: Path | None,
    bulk: Mapping[str, object],
) -> None:
    """Raise a ValueError, or a FileNotFoundError, if the arguments of the command do not fit together.

    Args:
        videos: Files, folders, lists, tables and addresses.
        models: Names of models that score together.
        checkpoint: Checkpoint, in place of models.
        config: Configurations, in place of models.
        single: Options that are only allowed without `--out`, and their values.
        out: File of rows.
        bulk: Options that are only allowed with `--out`, and their values.
    """
    _check_timeline(single)
    if not videos:
        raise ValueError("No video is given; give files, folders or a list, in front of the options.")
    _check_models(models, checkpoint, config, single, out)
    _check_names([Path(video).name for video in videos], single)
    if checkpoint is not None and config is not None:
        raise ValueError("Give either `--checkpoint FILE` or `--config FILE...`: what scores the videos.")
    check_there("checkpoint", checkpoint)
    for file in config or []:
        find_config(file)
    given = [name for name, value in single.items() if value is not None]
    if out is not None and given:
        raise ValueError(f"`--out` writes rows, which `{given[0]}` does not go with; leave one of them out.")
    lost = [name for name, value in bulk.items() if value is not None]
    if out is None and lost:
        raise ValueError(f"`{lost[0]}` needs `--out FILE.jsonl`, where the rows go.")
    if out is not None and out.suffix != ".jsonl":
        raise ValueError(f"`--out` is '{out}'; expected a name that ends with .jsonl.")
    addresses = [video for video in videos if _is_address(str(video))]
    if len(videos) == 1 and not addresses:  # of several, the existing ones are scored
        check_there("video", videos[0])


def _check_models(
    models: Sequence[str],
    checkpoint: Path | None,
    config: Sequence[Path] | None,
    single: Mapping[str, object],
    out: Path | None,
) -> None:
    others: dict[str, object] = {"--checkpoint": checkpoint, "--config": config, "--out": out}
    others |= {name: single[name] for name in ("--timeline", "--per", "--maps")}
    given = [name for name, value in others.items() if value is not None]
    if models and given:
        raise ValueError(f"`--model` and `{given[0]}` exclude each other; leave one of them out.")


def _check_timeline(single: Mapping[str, object]) -> None:
    if single["--per"] is not None and single["--timeline"] is None:
        raise ValueError("`--per` needs `--timeline FILE...`, where the timeline goes.")
    files = single["--timeline"]
    for path in files if isinstance(files, list) else []:
        if path.suffix not in TIMELINES:
            ends = f"{', '.join(TIMELINES[:-1])} or {TIMELINES[-1]}"
            raise ValueError(f"`--timeline` has '{path}'; expected {ends}, and videos in front of the options.")


def _check_names(names: Sequence[str], single: Mapping[str, object]) -> None:
    if single["--maps"] is None:
        return
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{times} videos are called '{name}', and `--maps` would write one file for all.")
