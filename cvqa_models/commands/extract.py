"""`cvqa extract`: write features of frozen branches to a store, with one decode per video; resumable and sharded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cvqa_models.data.shards import parse_shard
from cvqa_models.ending import MISTAKE
from cvqa_models.files import check_there, write_json
from cvqa_models.messages import say
from cvqa_models.shipped import find_config

if TYPE_CHECKING:
    from cvqa_models.inference.extract import Extraction

NAMED = 20  # how many faults are named on the screen


def extract(
    *,
    config: list[Path] | None = None,
    from_table: Path | None = None,
    columns: list[str] | None = None,
    store: Path | None = None,
    shard: str | None = None,
    workers: int | None = None,
    limit: float = 1800.0,
    device: str | None = None,
    json: Path | None = None,
    trust: list[str] | None = None,
) -> int:
    """Compute the features of all frozen branches, and write them to a store; existing features are not computed again.

    A video that cannot be read, hangs or kills its decoder is named at the end, with the reason; the others are
    extracted, and the exit code is 2.

    Start one process per shard, on any number of machines that share the store. Under torchrun and SLURM each process
    takes its own shard and GPU by itself.

    Args:
        config: Configuration files as for `train.py`; `model` and `data` are used.
        from_table: CSV of measured values, for branches of the class `Table`, in place of `config`.
        columns: With `from_table`: columns, by name or pattern such as 'NR *'.
        store: Folder of the store; by default `data.store` of the configuration.
        shard: `i/n`: the i-th of n parts, counted from 1.
        workers: Number of processes, each of which decodes, and holds the networks; by default one per core, and one
            in all on a GPU. Give fewer if memory runs out.
        limit: Seconds after which a video is given up.
        device: Torch device; by default a GPU if there is one.
        json: File for the result: store, number of videos written and already there, and the broken ones with reasons.
        trust: Your own packages whose classes the configuration may build; their code is run.

    Examples:
        cvqa extract --config flagship mine.yaml
        cvqa extract --from-table metrics.csv --columns 'FR *' --store data/features
    """
    if from_table is not None:
        if columns is None or store is None:
            raise ValueError("`--from-table` needs `--columns` and `--store`.")
        check_there("table", from_table)
        from cvqa_models.inference import extract as library  # torch is slow to import

        count = library.extract_table(from_table, columns, store)
        say(f"{count} videos written to {store}")
        _write_json(json, store, library.Extraction(written=count))
        return 0
    if not config:
        raise ValueError("Give `--config FILE...` as for `train.py`, or `--from-table TABLE`.")
    config = [find_config(file) for file in config]
    from cvqa_models.inference import extract_bulk

    own = parse_shard(shard)
    target, result = extract_bulk.extract(
        config, store=store, shard=own, device=device, trust=trust or [], workers=workers, limit=limit
    )
    say(f"{result.written} videos written to {target.root}, {result.present} were there, {len(result.broken)} broken")
    _write_json(json, target.root, result)
    for video_id, reason in list(result.broken.items())[:NAMED]:
        say(f"cvqa: {video_id!r} is left out: {reason}", stderr=True)
    if len(result.broken) > NAMED:
        say(f"cvqa: and {len(result.broken) - NAMED} more; `--json` writes all", stderr=True)
    return MISTAKE if result.broken else 0


def _write_json(path: Path | None, store: Path, result: Extraction) -> None:
    if path is not None:
        write_json(path, {"store": str(store), **asdict(result)})
