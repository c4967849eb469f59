"""Stop `fit` at random moments, start it again, and compare the outcome with that of an uninterrupted run.

    python benchmarks/interrupted_fits.py --tries 100            # a head on cached features, killed with SIGKILL
    python benchmarks/interrupted_fits.py --tries 20 --live      # a network trained on decoded videos
    python benchmarks/interrupted_fits.py --signal TERM          # asked to end instead

A try survives if the second run goes on by itself (`--ckpt_path last`), and ends with the same weights, state of the
optimiser and best epoch as the uninterrupted run, to the bit, and no half-written file.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cvqa_models.training import cli
from tests.cli.table_run import fit_words, write_inputs

EPOCHS = 6


def write_live_inputs(folder: Path) -> list[Path]:
    """Write encodes, their table, and the configuration of a small network that is trained on their frames."""
    rows = ["video_id,path,reference,group,mos"]
    for source in ("testsrc2", "mandelbrot", "cellauto"):
        for rank, crf in enumerate((50, 40, 30)):
            path = folder / f"{source}_{crf}.mp4"
            words = (
                f"-v error -f lavfi -i {source}=s=96x64:r=10 -t 0.6 -c:v libx264 -crf {crf} -pix_fmt yuv420p".split()
            )
            subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *words, str(path)], check=True)
            rows.append(f"{path.stem},{path},{source},{source},{rank}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    view = {
        "frames": {"class_path": "cvqa_models.video.frame_rules.KeyFrames", "init_args": {"num_clips": 1}},
        "pixels": {"class_path": "cvqa_models.video.pixel_rules.Crop", "init_args": {"size": 32, "short": 32}},
    }
    branch = {"name": "test_resnet", "view": view, "frozen": False}
    model = {
        "branches": {"content": {"class_path": "cvqa_models.branches.timm.Timm", "init_args": branch}},
        "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss"},
        "dropout": 0.3,
    }
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": str(folder / "manifest.csv")}}
    files: dict[str, Any] = {
        "model": {"model": {"class_path": "cvqa_models.models.multibranch.MultiBranch", "init_args": model}},
        "data": {"data": {"source": source, "split": {"val": ["cellauto"]}, "videos_per_group": 2}},
    }
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return [folder / f"{name}.yaml" for name in files]


def start(words: list[str], log: Path) -> int:
    """Run a training command in a process of its own; forked, since starting Python and torch anew takes long."""
    process = os.fork()
    if process:
        return process
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["train.py", *words]
    code: Any = 1
    try:
        cli.main()
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(code if isinstance(code, int) else 0)


def finish(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def outcome(run: Path) -> dict[str, Any]:
    """Return what a run has made: the content of its checkpoints."""
    found = {}
    for name in ("best", "last"):
        content = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        scores = [state.get("best_model_score") for state in content["callbacks"].values()]
        parts = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers")
        found[name] = {**{part: content[part] for part in parts}, "scores": scores}
    return found


def same(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


def stopped_once(words: list[str], run: Path, delay: float, number: int, whole: dict[str, Any]) -> str:
    """Stop a run after `delay` seconds, start it again, and say how it ended."""
    log = run.with_suffix(".log")
    first = 0
    while first == 0:  # it was done before the signal: try again, earlier
        shutil.rmtree(run, ignore_errors=True)
        log.unlink(missing_ok=True)
        process = start(words, log)
        time.sleep(delay)
        os.kill(process, number)
        first = finish(process)
        delay *= 0.7
    if first not in (-signal.SIGKILL, 128 + number):
        return f"exit code {first} after the signal"
    again = finish(start(words, log))
    if again:
        return f"exit code {again} of the second run"
    if not same(outcome(run), whole):
        return "another outcome"
    if list(run.rglob("*.part")):
        return "a half-written file left"
    return "survived"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--signal", choices=["KILL", "TERM", "INT"], default="KILL")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configs = write_live_inputs(folder) if options.live else write_inputs(folder)
        more = ["--ckpt_path=last", f"--trainer.max_epochs={EPOCHS}"]
        begin = time.perf_counter()
        if finish(start(fit_words(configs, folder / "whole", *more), folder / "whole.log")):
            sys.exit((folder / "whole.log").read_text())
        seconds = time.perf_counter() - begin
        whole = outcome(folder / "whole")
        counts: collections.Counter[str] = collections.Counter()
        words = fit_words(configs, folder / "run", *more)
        number = signal.Signals[f"SIG{options.signal}"]
        for attempt in range(options.tries):
            said = stopped_once(words, folder / "run", rng.uniform(0, seconds), number, whole)
            counts[said] += 1
            if said != "survived":
                print(f"try {attempt}: {said}\n{(folder / 'run.log').read_text()[-3000:]}", flush=True)
        kept = sum(count for said, count in counts.items() if said.startswith("survived"))
        print(
            f"SIG{options.signal}, {'live' if options.live else 'cached'}: {kept} of {options.tries} survived", counts
        )
        sys.exit(kept != options.tries)


if __name__ == "__main__":
    main()
