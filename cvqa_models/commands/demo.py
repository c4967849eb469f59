"""`cvqa demo`: the whole main job on data that it makes itself."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cvqa_models.build.mini import build_mini
from cvqa_models.commands.evaluate import evaluate
from cvqa_models.commands.report import report
from cvqa_models.commands.submit import submit
from cvqa_models.shipped import CONFIGS
from cvqa_models.terminal import say


def demo(run: Path = Path("runs/demo"), *, data: Path = Path("data/mini")) -> None:
    """Build the mini data set, train the flagship on it, score unseen references, evaluate, submit and report.

    Prints the folder of the run last. A demo that was stopped goes on where it stood when it is started again.

    Args:
        run: Folder for the checkpoint, predictions, submission, evaluation and report; must not hold a finished demo.
        data: Folder of the data set; what is already there is not built again.
    """
    from cvqa_models.callbacks.checkpoints import BEST
    from cvqa_models.cli import run_cli
    from cvqa_models.run_folder import holds_run

    console = Console()
    if (run / "report.html").exists():
        raise ValueError(
            f"'{run}' already holds a finished demo; remove it, or give another folder: `cvqa demo --run OTHER`, or "
            "`make demo RUN=OTHER`."
        )
    console.rule("data")
    built = build_mini(data)
    labels = built.labels
    files = [CONFIGS / name for name in ("tiny/flagship.yaml", "data/mini.yaml", "trainer/cpu.yaml")]
    places = {
        "data.source.init_args.labels": labels,
        "data.source.init_args.videos": data / "videos",
        "data.source.init_args.references": data / "references",
        "data.store": data / "features",
    }
    console.rule("features of frozen branches")
    _extract(files, {name: str(place) for name, place in places.items()})
    words = [*(f"--config={file}" for file in files), *(f"--{name}={place}" for name, place in places.items())]
    words.append(f"--run={run}")
    console.rule("training")
    run_cli(["fit", *words, *(["--ckpt_path=last"] if holds_run(run) else [])])
    console.rule("prediction of unseen references")
    run_cli(["predict", *words, "--ckpt_path=best"])
    console.rule("official group evaluation")
    predictions = run / "predictions.csv"
    evaluate(scores=labels, predictions=[predictions], json=run / "evaluation.json")
    best = run / "checkpoints" / f"{BEST}.ckpt"
    submit(predictions, out=run / "submission.csv", layout="cvqad", scores=labels, checkpoint=best)
    note = "Labels are a proxy: simulated votes on VMAF, not human scores."
    report(run, scores=labels, note=note)
    say(str(run))


def _extract(files: list[Path], places: dict[str, str]) -> None:
    from cvqa_models.commands.configured import Configured
    from cvqa_models.commands.extract import extract_features

    configured = Configured(files, places)
    model, data = configured.build(configured.seed)
    assert data.store is not None
    extract_features(model.each_branch(), data.source.records(), data.store, data.options)
