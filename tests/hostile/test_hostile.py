"""None of the hostile files runs code, opens a file that is not its own, or reaches the network."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cvqa_models.commands.crossval import crossval
from cvqa_models.commands.export import export
from cvqa_models.commands.extract import extract
from cvqa_models.commands.fit_mmf import fit_mmf
from cvqa_models.commands.score import score
from cvqa_models.inference import systems
from cvqa_models.training.checkpoint import load_model
from cvqa_models.training.cli import run_cli
from cvqa_models.weights.reading import read
from tests.hostile import corpus


class Watch:
    """What Python's own audit tells while it is on: imports, files, programs and connections that nobody wants."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        wrong = event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "shutil.rmtree"))
        if event == "import":
            wrong = str(arguments[0]).startswith("evil_marker")
        elif event in ("open", "os.remove", "os.rename", "os.rmdir"):
            path = (
                os.path.normpath(self.folder / os.fsdecode(arguments[0])) if not isinstance(arguments[0], int) else ""
            )
            wrong = path.startswith(tuple(f"{corpus.far(self.folder)}/{name}/" for name in ("secret", "precious")))
        if wrong:
            self.seen.append(f"{event} {arguments[:1]}"[:200])


WATCH = Watch()
sys.addaudithook(WATCH)  # for good: Python takes none away


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    work = tmp_path / "here" / "work"
    work.mkdir(parents=True)
    corpus.lay_out(work)
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(work)
    yield work
    WATCH.folder = None
    sys.modules.pop("evil_marker", None)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """The weights of the good model that the hostile files pretend to be."""
    from jsonargparse import ArgumentParser

    from cvqa_models.training.module import QualityModule

    hparams = corpus.hparams()
    del hparams["_instantiator"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(QualityModule, "model")
    config = {"class_path": hparams.pop("_class_path"), "init_args": hparams}
    weights: dict[str, torch.Tensor] = parser.instantiate(parser.parse_object({"model": config})).model.state_dict()
    return weights


def attempt(folder: Path, act: Callable[[], object]) -> str:
    """Return what a user is told, empty where the file was read as if it were sound; the rest of it must stay unread.

    A refusal is an error that `main` prints in one sentence.
    """
    WATCH.seen.clear()
    WATCH.folder = folder
    try:
        act()
        said = ""
    except (ValueError, OSError) as error:
        said = str(error)
    finally:
        WATCH.folder = None
    assert not WATCH.seen
    assert not (folder / "ran").exists()
    assert "evil_marker" not in sys.modules
    assert (corpus.far(folder) / "precious" / "thesis.tex").read_text() == "years of work"
    return said


def test_the_watch_sees_what_it_should(folder: Path) -> None:
    for act in (
        lambda: __import__("evil_marker"),
        lambda: (corpus.far(folder) / "secret" / "table.csv").read_text(),
        lambda: __import__("socket").getaddrinfo("127.0.0.1", 1),
        lambda: __import__("subprocess").run(["true"], check=True),
    ):
        with pytest.raises(AssertionError):
            attempt(folder, act)
        (folder / "ran").unlink(missing_ok=True)
        sys.modules.pop("evil_marker", None)


def test_hostile_checkpoints_do_nothing(folder: Path, state: dict[str, torch.Tensor]) -> None:
    files = corpus.checkpoints(folder, state)
    assert len(files) >= 80
    assert attempt(folder, lambda: load_model(files["instantiator"])) == ""  # what is good in it is taken
    for name, path in files.items():
        said = {
            "load": attempt(folder, lambda path=path: load_model(path)),
            "export": attempt(folder, lambda path=path: export(path, out=folder / "x.safetensors", with_frozen=True)),
            "weights": attempt(folder, lambda path=path: read(path)) or "read",
        }
        if name != "instantiator":
            assert said["load"], name
            assert len(said["load"]) < 700, name
            assert said["export"] == said["load"], name


def test_hostile_weights_do_nothing(folder: Path) -> None:
    for number, (name, data) in enumerate(corpus.files().items()):
        for ending in ("pth", "safetensors"):
            path = folder / f"{number}.{ending}"
            path.write_bytes(data)
            assert attempt(folder, lambda path=path: read(path)), (name, ending)


ENTRIES = [
    "class of a branch",
    "timm args",
    "branches as YAML",
    "program as callbacks",
    "clip hub",
    "weights elsewhere",
]


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_train_py_reads_a_hostile_checkpoint_alike(stage: str, folder: Path, state: dict[str, torch.Tensor]) -> None:
    files = corpus.checkpoints(folder, state)
    (folder / "videos.csv").write_text("video_id,path,reference,group,mos\na,a.mp4,r,g,1\nb,b.mp4,r,g,2\n")
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": "videos.csv"}}
    words = [stage, f"--data.source={json.dumps(source)}", "--run=run", "--trainer.accelerator=cpu"]
    for name in ENTRIES:
        assert attempt(folder, lambda name=name: run_cli([*words, f"--ckpt_path={files[name]}"])), name
    assert not (folder / "run").exists()


def test_score_reads_a_hostile_checkpoint_alike(folder: Path, state: dict[str, torch.Tensor]) -> None:
    files = corpus.checkpoints(folder, state)
    (folder / "a.mp4").touch()
    for name in ENTRIES:
        assert attempt(folder, lambda name=name: score([folder / "a.mp4"], checkpoint=files[name]))


def complete(folder: Path, text: str) -> list[Path]:
    """Write a hostile configuration between good ones of a model and of data."""
    hparams = corpus.hparams()
    del hparams["_instantiator"]
    model = {"class_path": hparams.pop("_class_path"), "init_args": hparams}
    (folder / "videos.csv").write_text("video_id,path,reference,group,mos\na,a.mp4,r,g,1\nb,b.mp4,r,g,2\n")
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": "videos.csv"}}
    files = [folder / f"{name}.yaml" for name in ("data", "good", "hostile")]
    files[0].write_text(json.dumps({"data": {"source": source, "store": "store"}}))
    files[1].write_text(json.dumps({"model": model}))
    files[2].write_text(text)
    return files


def commands(folder: Path, files: list[Path]) -> dict[str, Callable[[], object]]:
    (folder / "a.mp4").touch()
    return {
        "score": lambda: score([folder / "a.mp4"], config=files[1:]),
        "extract": lambda: extract(config=files, device="cpu"),
        "crossval": lambda: crossval(config=[files[2]], data=files[0], folds=3),
        "variants": lambda: crossval(config=[files[1]], data=files[0], variants=files[2], folds=3),
        "fit-mmf": lambda: fit_mmf(config=files),
        "systems": lambda: systems.read_system(files[2]),
    }


@pytest.mark.parametrize("name", corpus.TOPS)
def test_a_hostile_configuration_does_nothing(name: str, folder: Path) -> None:
    files = complete(folder, corpus.TOPS[name](folder))
    for act in commands(folder, files).values():
        # Each command lacks something here, if only videos; so each ends in a sentence.
        assert attempt(folder, act)


@pytest.mark.parametrize(
    "key", ["model", "data.source", "model.init_args.branches", "config", "help", "trainer.logger"]
)
@pytest.mark.parametrize("value", [corpus.EVIL, corpus.SPEC, "evil.yaml", {"a": corpus.EVIL}])
def test_a_hostile_variant_does_nothing(key: str, value: object, folder: Path) -> None:
    files = complete(folder, json.dumps({"one": {key: value}}))
    assert attempt(folder, commands(folder, files)["variants"])


def test_a_part_that_is_not_used_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What belongs to training may be anything in commands that do not train."""
    for name in ("trainer", "callbacks", "seed", "run", "checkpoint"):
        files = complete(folder, corpus.TOPS[name](folder))
        told = attempt(folder, lambda files=files: extract(config=files, device="cpu"))
        assert "No branch can be cached" in told
