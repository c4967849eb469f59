"""Bad input ends in one sentence that names the file or row and what to do, exit code 2, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import pytest
import torch
import yaml
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator
from safetensors.torch import save_file

from cvqa_models import __main__ as cvqa
from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.training import cli

ROOT = Path(__file__).resolve().parents[2]
CRFS = (20, 30, 40, 50)
VIEW = {
    "frames": {"class_path": "cvqa_models.video.frame_rules.KeyFrames", "init_args": {"num_clips": 1}},
    "pixels": {"class_path": "cvqa_models.video.pixel_rules.Crop", "init_args": {"size": 32, "short": 32}},
}
MODEL = {
    "class_path": "cvqa_models.models.multibranch.MultiBranch",
    "init_args": {
        "branches": {
            "content": {
                "class_path": "cvqa_models.branches.timm.Timm",
                "init_args": {"name": "test_resnet", "view": VIEW, "frozen": True},
            }
        },
        "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss"},
        "hidden": None,
    },
}


@dataclass(frozen=True)
class Bench:
    """What good input there is: encodes, their table, a configuration, and a checkpoint trained on them."""

    folder: Path
    manifest: Path
    model: Path
    data: Path
    checkpoint: Path

    @property
    def videos(self) -> list[Path]:
        return sorted(self.folder.glob("clip_*.mp4"))

    @property
    def configs(self) -> list[str]:
        return [str(self.model), str(self.data)]

    def fit(self, *more: str) -> list[str]:
        names = [self.model, self.data, ROOT / "configs/trainer/cpu.yaml"]
        quick = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
        return ["fit", *(f"--config={name}" for name in names), "--trainer.max_epochs=1", *quick, *more]


def ffmpeg(*words: str) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *words], check=True)


def write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    names = list(rows[0])
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def data_config(path: Path, manifest: Path, **more: object) -> Path:
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": str(manifest)}}
    path.write_text(yaml.safe_dump({"data": {"source": source, "split": {"val": ["b"]}, **more}}))
    return path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    rows = []
    for name, source in (("a", "testsrc2"), ("b", "mandelbrot")):
        for rank, crf in enumerate(reversed(CRFS)):
            path = folder / f"clip_{name}_{crf}.mp4"
            ffmpeg(
                "-f",
                "lavfi",
                "-i",
                f"{source}=s=96x64:r=10",
                "-t",
                "0.6",
                "-c:v",
                "libx264",
                "-crf",
                str(crf),
                str(path),
            )
            rows.append({"video_id": path.stem, "path": path, "reference": name, "group": name, "mos": rank})
    manifest = write_table(folder / "manifest.csv", rows)
    model = folder / "model.yaml"
    model.write_text(yaml.safe_dump({"model": MODEL}))
    checkpoint = folder / "run" / "checkpoints" / "last.ckpt"
    made = Bench(folder, manifest, model, data_config(folder / "data.yaml", manifest), checkpoint)
    cli.run_cli(made.fit(f"--run={folder / 'run'}"))
    return made


@pytest.fixture(scope="module")
def broken(bench: Bench) -> dict[str, Path]:
    """Broken videos by kind."""
    whole = bench.videos[0].read_bytes()
    files = {name: bench.folder / f"{name}.mp4" for name in ("missing", "empty", "truncated", "audio")}
    files["empty"].write_bytes(b"")
    files["truncated"].write_bytes(whole[: len(whole) // 2])
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.5", "-c:a", "aac", str(files["audio"]))
    stream = bench.folder / "stream.h264"
    ffmpeg("-i", str(bench.videos[0]), "-c", "copy", "-bsf:v", "h264_mp4toannexb", str(stream))
    # The headers of a stream, up to its first picture (unit type 5).
    files["frameless"] = bench.folder / "frameless.h264"
    files["frameless"].write_bytes(stream.read_bytes().split(b"\x00\x00\x01\x65")[0])
    return files


Told = Callable[..., str]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """Run a command line in this process and return the one sentence that it ends with."""

    def run(*words: object, train: bool = False) -> str:
        program = "train.py" if train else "cvqa"
        monkeypatch.setattr(sys, "argv", [program, *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            (cli.main if train else cvqa.main)()
        lines = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == 2, lines
        said = [line for line in lines if line.startswith(f"{program}: ")]
        assert said == lines[-1:], lines
        assert len(said[0]) < 700
        return said[0]

    return run


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "audio", "frameless"])
def test_a_video_that_cannot_be_read(
    kind: str, bench: Bench, broken: dict[str, Path], told: Told, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    said = told("score", bench.videos[0], broken[kind], "--checkpoint", bench.checkpoint, "--json", out)
    assert str(broken[kind]) in said
    assert {"missing": "There is no video", "audio": "expected a video"}.get(kind, "again") in said
    assert [row["video"] for row in json.loads(out.read_text())] == [str(bench.videos[0])]


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "audio", "frameless"])
def test_extraction_names_the_video_and_keeps_no_part_of_it(
    kind: str, bench: Bench, broken: dict[str, Path], told: Told, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "t.csv", [{"video_id": "x", "path": broken[kind], "group": "a", "mos": 1}])
    data = data_config(tmp_path / "data.yaml", table, store=str(tmp_path / "store"))
    assert str(broken[kind]) in told("extract", "--config", bench.model, data)
    assert not list((tmp_path / "store").rglob("*.*"))


def test_extraction_that_skips_broken_videos_names_them_and_keeps_the_others(
    bench: Bench, broken: dict[str, Path], told: Told, tmp_path: Path
) -> None:
    paths = {"x": broken["truncated"], "y": bench.videos[0]}
    table = write_table(
        tmp_path / "t.csv", [{"video_id": name, "path": path, "group": "a", "mos": 1} for name, path in paths.items()]
    )
    data = data_config(tmp_path / "data.yaml", table, store=str(tmp_path / "store"), skip_broken=True)
    assert str(broken["truncated"]) in told("extract", "--config", bench.model, data)
    assert [path.stem for path in (tmp_path / "store").rglob("*.safetensors")] == ["y"]


def test_a_broken_video_in_a_loader_process_is_told_as_in_the_main_one(
    bench: Bench, broken: dict[str, Path], told: Told, tmp_path: Path
) -> None:
    head, *rows = bench.manifest.read_text().splitlines()
    table = tmp_path / "broken.csv"
    whole = rows[-1].split(",")[1]
    table.write_text("\n".join([head, *rows[:-1], rows[-1].replace(whole, str(broken["truncated"]))]) + "\n")
    said = [
        told(
            *bench.fit(f"--data.source.init_args.path={table}", f"--run={tmp_path / workers}"),
            f"--data.num_workers={workers}",
            train=True,
        )
        for workers in "01"
    ]
    assert str(broken["truncated"]) in said[0]
    assert said[1] == said[0]


def test_check_lists_every_broken_file(
    bench: Bench, broken: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [path for kind, path in broken.items() if kind != "missing"]
    monkeypatch.setattr(sys, "argv", ["cvqa", "check", *map(str, [*there, bench.videos[0]]), "--workers", "1"])
    with pytest.raises(SystemExit) as end:
        cvqa.main()
    shown = capsys.readouterr()
    assert end.value.code == 2
    assert all(path.name in shown.out + shown.err for path in there)
    assert bench.videos[0].name not in shown.out + shown.err


LABELS = "codec,preset,sequence,crf,bitrate,real_bitrate,subjective_score\n"


@pytest.mark.parametrize(
    ("labels", "files", "expected"),
    [
        (["x264,fast,park,30"], ["x264_fast_park_30", "x264_fast_perk_31"], ["have no label", "x264_fast_perk_31"]),
        (["x264,fast,park,30", "x264,fast,park,31"], ["x264_fast_park_30"], ["have no video", "x264_fast_park_31"]),
        (["x264,fast,park,30"], ["x264_fast_parc_30"], ["have no video", "x264_fast_park_30", "x264_fast_parc_30"]),
    ],
)
def test_labels_and_videos_that_do_not_match(
    labels: list[str], files: list[str], expected: list[str], told: Told, tmp_path: Path
) -> None:
    table, out = tmp_path / "scores.csv", tmp_path / "manifest.csv"
    table.write_text(LABELS + "".join(f"{row},low,10,1.5\n" for row in labels))
    (tmp_path / "videos").mkdir()
    for name in files:
        (tmp_path / "videos" / f"enc_res_{name}.mp4").write_bytes(b"")
    said = told("import", "cvqad", table, "--out", out, "--videos", tmp_path / "videos")
    assert all(part in said for part in expected), said
    assert not out.exists()


LOW = ["--min_srocc", "4", "--min_plcc", "4", "--min_krocc", "4"]
SCORES = {"clip_a_20": "1", "clip_a_30": "2", "clip_a_40": "3", "clip_a_50": "4"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"clip_a_30": "nan"}, ["row 2", "nan"]),
        ({"clip_a_30": "inf"}, ["row 2", "inf"]),
        ({"clip_a_30": ""}, ["row 2"]),
        ({"clip_a_30": "good"}, ["row 2", "good"]),
        (dict.fromkeys(SCORES, "2"), ["constant"]),
    ],
    ids=["nan", "infinite", "missing", "word", "constant"],
)
def test_scores_that_rank_nothing(change: dict[str, str], expected: list[str], told: Told, tmp_path: Path) -> None:
    scores = SCORES | change
    rows: list[dict[str, object]] = [{"video_id": name, "score": score} for name, score in scores.items()]
    path = write_table(tmp_path / "predictions.csv", rows)
    said = told("submit", path, "--out", tmp_path / "out.csv")
    assert all(part in said for part in expected), said
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.csv"]


def test_a_score_that_is_missing_or_stands_twice(bench: Bench, told: Told, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"video_id": name, "score": score} for name, score in SCORES.items()]
    short = write_table(tmp_path / "short.csv", rows[:3])
    said = told("evaluate", "--scores", bench.manifest, "--predictions", short, *LOW, "--json", tmp_path / "r.json")
    assert "clip_a_50" in said
    twice = write_table(tmp_path / "twice.csv", [*rows, rows[0]])
    said = told("submit", twice, "--out", tmp_path / "out.csv")
    assert "row 5" in said
    assert "'clip_a_20' stands twice" in said
    assert {file.name for file in tmp_path.iterdir()} == {"short.csv", "twice.csv"}


def test_a_table_that_is_not_there(bench: Bench, told: Told, tmp_path: Path) -> None:
    table = tmp_path / "gone.csv"
    said = told(*bench.fit(f"--data.source.init_args.path={table}", f"--run={tmp_path / 'run'}"), train=True)
    assert str(table) in said
    assert "Errno" not in said


def test_a_video_that_stands_twice_in_the_table(bench: Bench, told: Told, tmp_path: Path) -> None:
    head, *rows = bench.manifest.read_text().splitlines()
    table = tmp_path / "twice.csv"
    table.write_text("\n".join([head, *rows, rows[0]]) + "\n")
    said = told(*bench.fit(f"--data.source.init_args.path={table}", f"--run={tmp_path / 'run'}"), train=True)
    assert rows[0].split(",")[0] in said
    assert "twice" in said
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_files_of_a_table_that_are_not_there(bench: Bench, told: Told, tmp_path: Path) -> None:
    table = tmp_path / "paths.csv"
    table.write_text(bench.manifest.read_text().replace("clip_a_20.mp4", "clip_a_21.mp4").replace("a_50.mp4", "gone"))
    said = told(*bench.fit(f"--data.source.init_args.path={table}", f"--run={tmp_path / 'run'}"), train=True)
    assert "2 of 4 train files are not there (first: 'clip_a_50')" in said
    assert "'clip_a_21.mp4' (near: 'clip_a_20.mp4')" in said
    assert "`skip_broken`" in said
    assert not list((tmp_path / "run").rglob("*.ckpt"))
    # On request they are left out, here and wherever a piece of a group has no other video.
    more = ["--data.skip_broken=true", "--data.videos_per_group=2", "--data.videos_at_once=1"]
    more += [f"--data.source.init_args.path={table}", "--data.split.val=[a]", f"--run={tmp_path / 'skipped'}"]
    assert cli.run_cli(bench.fit(*more)).trainer.callback_metrics["val/result"].isfinite()
    said = told("predict", *bench.fit(*more, f"--ckpt_path={bench.checkpoint}")[1:], train=True)
    assert "2 videos could not be read and have no row in" in said
    assert "'clip_a_20', 'clip_a_50'" in said
    written = (tmp_path / "skipped" / "predictions.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in written] == ["video_id", "clip_a_30", "clip_a_40"]


@pytest.mark.parametrize("mos", ["nan", "inf", "", "good"])
def test_a_label_that_is_no_number(mos: str, bench: Bench, told: Told, tmp_path: Path) -> None:
    lines = bench.manifest.read_text().splitlines()
    lines[2] = lines[2].rsplit(",", 1)[0] + f",{mos}"
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    said = told(*bench.fit(f"--data.source.init_args.path={table}", f"--run={tmp_path / 'run'}"), train=True)
    assert lines[2].split(",")[0] in said or "row 2" in said, said


def test_groups_of_one(bench: Bench, told: Told, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"video_id": path.stem, "path": path, "reference": path.stem[5], "group": path.stem, "mos": number}
        for number, path in enumerate(bench.videos)
    ]
    table = write_table(tmp_path / "alone.csv", rows)
    said = told(*bench.fit(f"--data.source.init_args.path={table}", f"--run={tmp_path / 'run'}"), train=True)
    assert "single video" in said
    assert "`group`" in said
    predictions = write_table(tmp_path / "p.csv", [{"video_id": row["video_id"], "score": row["mos"]} for row in rows])
    assert "No group has 3 videos" in told("evaluate", "--scores", table, "--predictions", predictions)


@pytest.mark.parametrize("kind", ["missing", "truncated", "pickled", "foreign", "other"])
def test_a_checkpoint_that_does_not_fit(kind: str, bench: Bench, told: Told, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.ckpt"
    whole = bench.checkpoint.read_bytes()
    content = torch.load(bench.checkpoint, weights_only=True)
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "pickled":
        path.write_bytes(pickle.dumps(Path("x")))
    elif kind == "foreign":
        torch.save({"epoch": 3}, path)
    elif kind == "other":
        content["hyper_parameters"]["hidden"] = 7
        torch.save(content, path)
    expected = {
        "missing": "There is no checkpoint",
        "truncated": "is truncated",
        "pickled": "could run code",
        "foreign": "no `state_dict`",
        "other": "checkpoint for another model",
    }
    for words in (
        ["score", bench.videos[0], "--checkpoint", path, "--csv_file", tmp_path / "out.csv"],
        ["predict", f"--config={bench.data}", f"--ckpt_path={path}", f"--run={tmp_path / 'run'}"],
    ):
        said = told(*words, train=words[0] == "predict")
        assert str(path) in said
        assert expected[kind] in said
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_not_there(bench: Bench, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for accelerator in (CUDAAccelerator, MPSAccelerator):
        monkeypatch.setattr(accelerator, "is_available", staticmethod(lambda: False))
    gpu = ROOT / "configs/trainer/gpu.yaml"
    said = told(*bench.fit(f"--config={gpu}", f"--run={tmp_path / 'run'}"), train=True)
    assert "without a GPU, use `configs/trainer/cpu.yaml`" in said
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_there_is_continued_only_if_it_can_be(bench: Bench, told: Told, tmp_path: Path) -> None:
    said = told(*bench.fit(f"--run={bench.folder / 'run'}"), train=True)
    assert (
        f"already holds a run; choose another `--run`, or continue it with `--ckpt_path last` ('{bench.checkpoint}')"
        in said
    )
    (tmp_path / "run" / "logs").mkdir(parents=True)  # of a run that was stopped in its first epoch
    said = told(*bench.fit(f"--run={tmp_path / 'run'}"), train=True)
    assert "already holds a run; choose another `--run`, or remove it" in said
    assert "last.ckpt" not in said


def test_a_misspelt_key_is_told_by_its_innermost_line(bench: Bench, told: Told, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(bench.model.read_text().replace("frozen", "frzoen"))
    said = told(*bench.fit(f"--config={wrong}", f"--run={tmp_path / 'run'}"), train=True)
    assert "Option 'frzoen' is not accepted" in said
    assert "cvqa_models.branches.timm.Timm" in said
    assert "frzoen" in told("extract", "--config", wrong, bench.data)
    assert "--wrokers" in told("check", bench.folder, "--wrokers", "1")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["missing", "unexpected"])
def test_weights_with_other_keys(kind: str, bench: Bench, told: Told, tmp_path: Path) -> None:
    tensors = CompressionLevel(width=8).net.state_dict()
    if kind == "missing":
        del tensors[sorted(tensors)[0]]
    else:
        tensors["stray.weight"] = torch.zeros(1)
    weights = tmp_path / "weights.safetensors"
    save_file(tensors, weights)
    branch = {"class_path": "cvqa_models.branches.compression_level.CompressionLevel"}
    branch["init_args"] = {"width": 8, "weights": str(weights)}  # type: ignore[assignment]
    model = {**MODEL, "init_args": {**MODEL["init_args"], "branches": {"damage": branch}}}  # type: ignore[dict-item]
    config = tmp_path / "model.yaml"
    config.write_text(yaml.safe_dump({"model": model}))
    said = told("fit", f"--config={config}", f"--config={bench.data}", f"--run={tmp_path / 'run'}", train=True)
    assert str(weights) in said
    assert f"1 {kind}" in said
    assert not (tmp_path / "run").exists()


def test_a_store_that_cannot_be_written(bench: Bench, told: Told, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = data_config(tmp_path / "data.yaml", bench.manifest, store=str(tmp_path / "file" / "store"))
    said = told("extract", "--config", bench.model, data)
    assert f"{tmp_path}/file/store" in said
    assert "cannot be written" in said


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on a file system of one page, already used up; where none may be mounted, writes there are refused."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    if (
        sys.platform == "linux"
        and os.geteuid() == 0
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    ):
        (folder / "taken").write_bytes(b"0" * 4096)
        yield folder
        subprocess.run(["umount", "-l", str(folder)], check=True)
        return

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    yield folder


# TensorBoard writes on a thread of its own, which meets the full disk too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("command", ["submit", "evaluate", "extract", "score", "report", "fit", "predict", "export"])
def test_a_full_disk(command: str, bench: Bench, told: Told, full_disk: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"video_id": path.stem, "score": n} for n, path in enumerate(bench.videos)]
    predictions = write_table(tmp_path / "predictions.csv", rows)
    compare = ["--scores", bench.manifest, "--predictions", predictions]
    data = data_config(tmp_path / "data.yaml", bench.manifest, store=str(full_disk / "store"))
    words: dict[str, list[object]] = {
        "submit": ["submit", predictions, "--out", full_disk / "out.csv"],
        "evaluate": ["evaluate", *compare, *LOW, "--json", full_disk / "e.json"],
        "extract": ["extract", "--config", bench.model, data],
        "score": ["score", bench.videos[0], "--checkpoint", bench.checkpoint, "--json", full_disk / "s.json"],
        "report": ["report", "--run", full_disk, *compare],
        "fit": [*bench.fit(f"--run={full_disk}/run")],
        "predict": ["predict", f"--config={bench.data}", f"--ckpt_path={bench.checkpoint}", f"--run={full_disk}"],
        "export": ["export", bench.checkpoint, "--out", full_disk / "w.safetensors"],
    }
    said = told(*words[command], train=command in ("fit", "predict"))
    assert "No space left on device" in said
    assert str(full_disk) in said
    left = [path for path in full_disk.rglob("*") if path.is_file() and path.name != "taken" and path.stat().st_size]
    assert not left


def test_the_program_itself_ends_so(broken: dict[str, Path], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "cvqa_models", "score", str(broken["missing"]), "--checkpoint", "none.ckpt"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "none.ckpt" in done.stderr
    assert not list(tmp_path.iterdir())
