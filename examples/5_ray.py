"""Score a library of millions on a cluster with Ray Data: actors hold the model, and a killed one is started again.

pip install 'ray[data]'
python examples/5_ray.py scores.jsonl /library
"""

import json
import sys
from pathlib import Path

import ray

from cvqa_models.data.rows import appending
from cvqa_models.inference.bulk import Job, videos_of
from cvqa_models.models.shipped_level import SHIPPED


class Scorer:
    def __init__(self) -> None:
        self.job = Job(SHIPPED)  # on a GPU: Job(SHIPPED, device="cuda"), and num_gpus=1 below

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        return {"row": json.dumps(self.job((row["name"], row["path"])))}


out, *words = sys.argv[1:]
listed = [{"name": name, "path": path} for name, path in videos_of(words).items()]
ray.init(log_to_driver=False)
rows = ray.data.from_items(listed, override_num_blocks=min(len(listed), 10_000)).map(Scorer, concurrency=2)
with appending(Path(out)) as append:
    for found in rows.iter_rows():
        append(json.loads(found["row"]))
