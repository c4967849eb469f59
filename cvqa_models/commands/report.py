"""`cvqa report`: a self-contained page about a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cvqa_models.files import check_there, write_json
from cvqa_models.messages import say


def report(
    runs: list[Path] = [],  # noqa: B006 - read only
    /,
    *,
    scores: Path,
    run: Path | None = None,
    predictions: Path | None = None,
    note: str = "",
    min_srocc: int = 15,
    min_plcc: int = 6,
    min_krocc: int = 6,
    json: Path | None = None,
) -> Path:
    """Write RUN/report.html with plots and tables, and the plots as PNG next to it; or compare several runs.

    The report shows how far predictions are from labels, by codec, rate and source, and on one scale for all groups. If
    there is a file RUN/ablation.json, it shows how much each branch improves the model. For the worst and the most
    misjudged videos whose files are here, it shows pictures: scores over time, the worst frames, and a heat map of the
    worst one. These come from the run's model, or from the compression level if the model has no scores of moments.

    Two baselines that need no training are shown too: the bitrate, and the compression level that ships with the
    project, if the table names the videos or the run's store has its features.

    For several runs, FIRST/runs.html compares their RUN/predictions.csv: results with paired intervals, results by
    group, training curves, and different settings.

    Args:
        runs: Folder of a run, or of several; their training logs are used if they exist.
        scores: Label table: a manifest or a table with CVQAD's columns. Videos that it does not name are found where
            the run's `logs/config.yaml` says.
        run: The folder of one run, as an option.
        predictions: For one run: CSV with `video_id,score`; by default RUN/predictions.csv.
        note: A sentence shown at the top of the page.
        min_srocc: Fewest videos that a group needs to count for SROCC.
        min_plcc: Fewest videos that a group needs to count for PLCC.
        min_krocc: Fewest videos that a group needs to count for KROCC.
        json: File for the result: the page and its pictures.

    Returns:
        Path of the page.

    Examples:
        cvqa report runs/mine --scores labels.csv
        cvqa report runs/mine runs/other --scores labels.csv
    """
    folders = [*runs, *([run] if run is not None else [])]
    if not folders:
        raise ValueError("No run is given; name its folder, or several to compare them.")
    if len(folders) > 1 and predictions is not None:
        raise ValueError("`--predictions` is of one run, and several are given; put each file into its RUN folder.")
    check_there("table", scores, *([predictions] if predictions else [one / "predictions.csv" for one in folders]))
    # Slow imports come here, after the arguments are checked.
    from functools import partial

    from cvqa_models.inference.baselines import baselines
    from cvqa_models.inference.heat import eyes_of
    from cvqa_models.metrics.group_score import Thresholds
    from cvqa_models.report.run import report_run
    from cvqa_models.report.runs import report_runs

    thresholds = Thresholds(min_srocc, min_plcc, min_krocc)
    if len(folders) > 1:
        page = report_runs(folders, scores, note=note, thresholds=thresholds)
        return _told(page, [], folders[0].glob("runs-*.png"), json)
    [folder] = folders
    page, remarks = report_run(
        folder,
        scores,
        predictions=predictions,
        note=note,
        thresholds=thresholds,
        rivals=baselines,
        look=partial(eyes_of, folder),
    )
    return _told(page, remarks, set(folder.glob("*.png")) - set(folder.glob("runs-*.png")), json)


def _told(page: Path, remarks: list[str], pictures: Iterable[Path], json: Path | None) -> Path:
    if json is not None:
        write_json(json, {"report": str(page), "pictures": [str(path) for path in sorted(pictures)]})
    for sentence in remarks:
        say(sentence, style="bold red")
    say(f"report: {page}")
    return page
