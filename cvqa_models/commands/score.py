"""`cvqa score`: score any video files."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.commands.score_words import check_words, videos_and_models
from cvqa_models.types import DecoderName, Hdr, Per, Precision, Untagged


def score(
    videos: list[str] = [],  # noqa: B006 - read only
    /,
    *,
    out: Path | None = None,
    shard: str | None = None,
    workers: int | None = None,
    limit: float = 1800.0,
    retry: bool = False,
    model: list[str] | None = None,
    checkpoint: Path | None = None,
    config: list[Path] | None = None,
    reference: Path | None = None,
    timeline: list[Path] | None = None,
    per: Per | None = None,
    decoder: DecoderName = "auto",
    untagged: Untagged = "bt709",
    hdr: Hdr = "refuse",
    stream: int | None = None,
    display: int | None = None,
    device: str = "cpu",
    precision: Precision = "32-true",
    maps: Path | None = None,
    csv_file: Path | None = None,
    json: Path | None = None,
    trust: list[str] | None = None,
) -> int:
    """Print a CSV with one row per file, in the order given; or with `--out` write the rows of a whole library.

    Without a checkpoint or configuration the column is `compression_level`: the network that ships with the project
    estimates compression damage from the pixels, on VMAF's scale from 0 to 100 (100 is clean). It is not human opinion.
    Otherwise the column is `score`; compare it between encodes of one source.

    The column `notes` names anything unusual about a file: interlaced, telecined, tone-mapped, times that do not rise.

    Videos are scored one at a time, so a score depends only on the file, the weights and the precision. A row is
    printed as soon as it is ready. Files that cannot be scored are named at the end, with the reason; the others keep
    their rows, and the exit code is 2. If the command is stopped, the files that it writes hold the finished rows.

    With `--out`, each row is a line of JSON, appended as soon as its video is done: a score, or the reason why there is
    none. The same command, run again, goes on where it stopped. Started on several machines, by torchrun or SLURM or
    with `--shard`, each process scores its own part, and `cvqa merge` joins the parts.

    Args:
        videos: Video files, folders (searched at any depth), lists (`.txt`, a file a line), CSV tables with the columns
            `video_id` and `path`, or addresses (http, https).
        out: File of rows, `.jsonl`, one per video; with several shards, each has its own file next to it.
        shard: With `--out`: `i/n`, the i-th of n parts, counted from 1; by default the part that a launcher gave.
        workers: With `--out`: number of processes, each of which decodes and scores; one per core by default.
        limit: With `--out`: seconds after which a video is given up.
        retry: With `--out`: try videos again that have a reason instead of a score.
        model: One or more of: `compression_level`, names of `cvqa systems`, checkpoints, folders of runs, and
            `hf:OWNER/NAME`. Each file is decoded once, and its row has a column for each model. Videos may follow the
                models.
        checkpoint: Checkpoint written by `cvqa fit` or `cvqa fit-mmf`, or the folder of a run.
        config: In place of a checkpoint: configuration of a system that needs no training, such as
            `configs/model/ms_ssim.yaml`.
        reference: The source of all the videos, for full-reference systems.
        timeline: Also write the score over time to these files. The ending gives the format: `.csv`, `.json`,
            `.vmaf.json` (like a VMAF log, for one video), and `.png` or `.svg` for a plot with the frames of the worst
            parts. The rows then also hold the mean, harmonic mean, minimum and low percentiles over frames, for how
            many seconds the picture stands still, and how many frames repeat the frame before.
        per: Parts of the timeline: each `frame`, `second` (default) or `scene`. The compression level scores all of
            them, other systems only the moments that they see anyway.
        decoder: Decoding library.
        untagged: Colour matrix of streams of 720 lines and more that name none.
        hdr: `refuse` refuses HDR videos (PQ, HLG); `tonemap` turns them into SDR by the curve of ITU-R BT.2390; `keep`
            takes their values as if they were SDR's, as CompressedVQA-HDR needs.
        stream: Which video stream of files that hold several, from 0; the largest by default, as ffmpeg picks.
        display: Lines of the screen on which the videos are watched, such as 1080. Pictures are first scaled to it, as
            a player does, so that encodes of different sizes compare. By default a video is seen in its own size.
        device: Torch device; `auto` is a GPU if there is one. Scores of different devices differ in the last digits.
        precision: Arithmetic, in Lightning's spelling. `bf16-mixed` is faster where the processor has bfloat16
            (AVX512-BF16, AMX). Scores differ in the third digit; never compare scores of different precision.
        maps: Folder for the score maps of each video, if the system has them. `FILE.safetensors` holds name -> float32
            of shape (T,) or (T, rows, columns). Where a map has places, `FILE.png` shows the worst
            frame with its map, and `FILE.mp4` the two seconds around it.
        csv_file: Also write the CSV to this file.
        json: Also write `[{"video": …, "score": …, …}]` to this file.
        trust: Your own packages whose classes the checkpoint or configuration may build; their code is run.

    Examples:
        cvqa score film.mp4 --timeline film.csv film.svg --per scene
        cvqa score *.mp4 --checkpoint runs/mine --json scores.json
        cvqa score film.mp4 --model compression_level ms_ssim --reference source.mp4
        cvqa score /library --out scores.jsonl --device auto
    """
    single = {"--timeline": timeline or None, "--per": per, "--maps": maps, "--csv-file": csv_file, "--json": json}
    bulk = {"--shard": shard, "--workers": workers, "--retry": retry or None}
    videos, models = videos_and_models(videos, model or [])
    check_words(videos, models, checkpoint, config, single, out=out, bulk=bulk)
    # Slow imports come here, after the arguments are checked.
    from cvqa_models.commands.scoring import score_each, score_into, score_with_all
    from cvqa_models.inference.bulk import Job, listed, videos_of
    from cvqa_models.models.shipped_level import SHIPPED
    from cvqa_models.video.reader import ReadOptions

    reading = ReadOptions(decoder, untagged, hdr, stream, display)
    job = Job(checkpoint or SHIPPED, tuple(config or ()), reference, device, precision, reading, tuple(trust or ()))
    if out is not None:
        return score_into(out, job, videos_of(videos), shard=shard, workers=workers, limit=limit, retry=retry)
    if models:
        return score_with_all([path for _, path in listed(videos)], job, models, csv_file, json)
    return score_each([path for _, path in listed(videos)], job, timeline or [], per or "second", maps, csv_file, json)
