"""torchrun over two machines, which are two network namespaces of this one: nothing but addresses joins them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from cvqa_models.data.rows import read_rows
from cvqa_models.inference.bulk import Job
from cvqa_models.inference.merge import merge
from cvqa_models.models.shipped_level import SHIPPED
from tests.cli.table_run import fit_words, write_inputs
from tests.unit.data.footage import make_videos

ROOT = Path(__file__).resolve().parents[2]
RUN = f"{sys.executable} -m torch.distributed.run --nnodes 2 --master_addr 10.77.0.1 --master_port 29519"
NODES = """
set -e
ip link set lo up
ip link add va type veth peer name vb
ip addr add 10.77.0.1/24 dev va
ip link set va up
unshare -n bash -c '
    echo $$ > "$0/second"
    until ip link show vb > "$0/seen" 2>&1; do sleep 0.05; done
    ip link set lo up
    ip addr add 10.77.0.2/24 dev vb
    ip link set vb up
    GLOO_SOCKET_IFNAME=vb exec {run} --node_rank 1 "$@"
' "$PWD" "$@" &
until [ -s second ]; do sleep 0.05; done
ip link set vb netns "$(cat second)"
GLOO_SOCKET_IFNAME=va {run} --node_rank 0 "$@"
wait $!
"""


def on_two_nodes(folder: Path, *words: str | Path) -> None:
    """Run words behind `torchrun` on both nodes; each must end well."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    script = NODES.format(run=RUN)
    done = subprocess.run(
        ["unshare", "-Urn", "bash", "-c", script, "nodes", *map(str, words)],
        cwd=folder, env=environment, timeout=400, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("ip") or subprocess.run(["unshare", "-Urn", "true"], capture_output=True).returncode != 0,
        reason="this machine permits no network namespaces",
    ),
]


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return found


def test_two_nodes_train_as_two_ranks_of_one_do(tmp_path: Path) -> None:
    configs = write_inputs(tmp_path / "inputs")
    options = ["--trainer.max_epochs=2", "--trainer.strategy=ddp"]

    def words(run: Path, nodes: int) -> list[str]:
        devices = [f"--trainer.num_nodes={nodes}", f"--trainer.devices={2 // nodes}"]
        return [str(ROOT / "train.py"), *fit_words(configs, run, *options, *devices)]

    on_two_nodes(tmp_path / "nodes", "--", *words(tmp_path / "two", 2))
    one = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    subprocess.run([*one, *words(tmp_path / "one", 1)], check=True, env=environment, timeout=400, cwd=tmp_path)
    apart, together = weights(tmp_path / "two"), weights(tmp_path / "one")
    assert apart.keys() == together.keys()
    assert all(torch.equal(apart[name], together[name]) for name in apart)


def test_two_nodes_score_each_its_part(tmp_path: Path) -> None:
    make_videos(tmp_path / "videos", 5)
    videos = sorted(map(str, (tmp_path / "videos").iterdir()))
    out = tmp_path / "scores.jsonl"
    on_two_nodes(tmp_path / "nodes", "-m", "cvqa_models", "score", *videos, "--out", out, "--workers", "1")
    parts = [list(read_rows(tmp_path / f"scores.part-{number}-of-2.jsonl")) for number in (1, 2)]
    assert sorted(row["video"] for part in parts for row in part) == videos
    assert all(parts)
    job = Job(SHIPPED)
    assert {row["video"]: row["score"] for row in merge(out, videos).rows} == {
        video: job((video, video))["score"] for video in videos
    }


def test_two_nodes_extract_each_its_part(tmp_path: Path) -> None:
    records = make_videos(tmp_path / "videos", 5)
    lines = [f"{record.video_id},{record.path},g,r,{row}" for row, record in enumerate(records)]
    (tmp_path / "labels.csv").write_text("\n".join(["video_id,path,group,reference,mos", *lines]) + "\n")
    level = {"class_path": "cvqa_models.branches.compression_level.CompressionLevel", "init_args": {
        "weights": "compression_level", "num_clips": 2, "frozen": True,
    }}  # fmt: skip
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": str(tmp_path / "labels.csv")}}
    model = {
        "class_path": "cvqa_models.models.multibranch.MultiBranch",
        "init_args": {"branches": {"level": level}, "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss"}},
    }
    content = {"model": model, "data": {"source": source, "store": str(tmp_path / "store")}}
    (tmp_path / "extract.yaml").write_text(yaml.safe_dump(content))
    on_two_nodes(tmp_path / "nodes", "-m", "cvqa_models", "extract", "--config", tmp_path / "extract.yaml")
    assert len(list((tmp_path / "store").rglob("*.safetensors"))) == 5
