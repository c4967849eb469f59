"""Whatever bytes a file holds, a reader gives its content or one sentence; and what a writer wrote comes back.

Each target runs on the fixed corpus, and on inputs that hypothesis makes up: a few, the same every time, or ever new
ones for as many seconds a test as `FUZZ_SECONDS` says (`make test-fuzz`).
"""

from __future__ import annotations

import faulthandler
import io
import itertools
import json
import logging
import math
import os
import random
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from cvqa_models.corpus.encoding import ladder
from cvqa_models.corpus.folder import write_csv
from cvqa_models.corpus.labels.bradley_terry import fit_table
from cvqa_models.corpus.labels.vote_files import read_votes
from cvqa_models.corpus.labels.votes import screen_votes
from cvqa_models.data.adapters import cvqad, dover_txt, konvid, kvq, qalign_json
from cvqa_models.data.feature_store import FeatureStore, file_name
from cvqa_models.data.manifest import read_manifest, read_table, read_table_ids, write_manifest
from cvqa_models.data.predictions import read_predictions, write_predictions
from cvqa_models.evaluation.ensemble import _read_weights
from cvqa_models.messages import sentence
from cvqa_models.submission.templates import fill_template
from cvqa_models.tables import csv_text, numbers, read_csv, rows
from cvqa_models.training.checkpoint import model_config, read_checkpoint
from cvqa_models.types import Prediction
from cvqa_models.weights import reading
from tests.fuzz.corpus import CORPUS

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
HANG = 120  # seconds for one input

SCORES = {"a": 0.5, "b": 0.25}
MANIFEST = (
    b"video_id,path,reference,group,codec,mos,split,weight,std\na,v/a.mp4,r,g,x264,1.5,train,1,0.1\nb,,r,g,,,,,\n"
)
CVQAD = (
    b"codec,preset,sequence,crf,standard,real_bitrate,bitrate,subjective_score\n"
    b"x264,fast,a-2019,100,h264,98.5,low,1.5\nx265,fast,a-2019,100,h265,98,low,2\n"
)
VOTES = b"participant,group,left,right,expected,answer\np,g,a,b,,left\nq,g,b,a,,equal\np,g,b,a,left,left\n"
LADDER = (
    b"encoders: [x264, vp9]\npresets: {fast: {x264: veryfast, vp9: good4}, slow: 30}\n"
    b"kbps: [100, 250.5]\ntolerance: 0.1\n"
)


def workbook() -> bytes:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    for row in (["video", "score"], ["a", None], ["b", 0]):
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def features(path: Path) -> object:
    """Read any bytes as the features of a video, where a store keeps them."""
    store = FeatureStore(path.parent / "store", "reading")
    target = store.path("key", "a")
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    tokens = store.read("key", "a")
    assert tokens.ndim == 2
    assert tokens.isfinite().all()
    return store.metadata("key", "a").keys()


def feature_file() -> bytes:
    from safetensors.torch import save

    header = {"cvqa": json.dumps({"reading": "reading", "video_id": "a"})}
    return save({"tokens": torch.zeros(2, 3)}, header)


def checkpoint(path: Path) -> object:
    return model_config(read_checkpoint(path), path)


def checkpoint_file() -> bytes:
    branch = {"class_path": "cvqa_models.branches.ms_ssim.MsSsimFrames", "init_args": {"num_clips": 2}}
    hparams = {"_class_path": "cvqa_models.models.frame_mean.FrameMean", "measure": branch}
    content = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(2, 3)}, "hyper_parameters": hparams, "epoch": 1}, content)
    return content.getvalue()


def read_weights(path: Path) -> object:
    try:
        return reading.read(path)
    except ValueError as error:  # its callers end the sentence
        raise ValueError(f"{str(error).removesuffix('.')}.") from error


def fill(path: Path) -> object:
    return fill_template(path, path.with_name(f"out{path.suffix}"), SCORES)


def scores_of_votes(path: Path) -> object:
    table = read_csv(path, ["participant", "answer", "expected"])
    return screen_votes(table), fit_table(table)


# Name -> the reader, how its files end, and a file that it reads.
READERS: dict[str, tuple[Callable[[Path], object], str, bytes]] = {
    "table": (lambda path: rows(read_csv(path)), ".csv", MANIFEST),
    "numbers": (
        lambda path: numbers(read_csv(path, ["score"]), "score", path),
        ".csv",
        b"video_id;score\na;1,5\nb;2\n",
    ),
    "manifest": (read_manifest, ".csv", MANIFEST),
    "labels": (read_table, ".csv", CVQAD),
    "ids": (read_table_ids, ".csv", CVQAD),
    "predictions": (read_predictions, ".csv", b"video_id,score\na,1.5\nb,-2e-3\n"),
    "votes": (read_votes, ".csv", VOTES),
    "screened votes": (scores_of_votes, ".csv", VOTES),
    "cvqad": (cvqad.read, ".csv", CVQAD),
    "kvq": (kvq.read, ".csv", b"filename,score\ntrain/0001.mp4,1.5\n"),
    "konvid": (konvid.read, ".csv", b"file_name,MOS\n123.mp4,1.5\n"),
    "dover": (dover_txt.read, ".txt", b"sub/v1.mp4, -1, -1, 1.5\nv2.mp4, 8, 25, 2\n"),
    "qalign": (qalign_json.read, ".json", b'[{"img_path": "sub/v1.mp4", "gt_score": 1.5}]'),
    "ladder": (ladder.read, ".yaml", LADDER),
    "weights": (lambda path: _read_weights(path, ["a", "b"]), ".json", b'{"a": 0.5, "b": 0.5}'),
    "text template": (fill, ".csv", b"name,note,score\na,x,\nb,y,\n"),
    "list template": (fill, ".txt", b"a.mp4 0\nb.mp4 0\n"),
    "json template": (fill, ".json", b'[{"name": "a", "score": null}, {"name": "b", "score": null}]'),
    "workbook template": (fill, ".xlsx", b""),
    "features": (features, ".safetensors", feature_file()),
    "checkpoint": (checkpoint, ".ckpt", checkpoint_file()),
    "torch weights": (read_weights, ".pth", checkpoint_file()),
    "safetensors weights": (read_weights, ".safetensors", feature_file()),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # a log of a million inputs would fill the memory
    yield
    logging.disable(logging.NOTSET)


def examine(case: st.SearchStrategy[Any], prove: Callable[[Any], None], examples: int) -> None:
    """Prove a claim on made-up cases: on `examples`, always the same, or on ever new ones for FUZZ_SECONDS."""
    tried, end = 0, time.monotonic() + SECONDS
    first = random.SystemRandom().getrandbits(60) if SECONDS else 0
    for number in itertools.count(first):

        @seed(number)
        @settings(
            max_examples=1000 if SECONDS else examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(case)
        def run(made: Any) -> None:
            nonlocal tried
            tried += 1
            faulthandler.dump_traceback_later(HANG, exit=True)
            prove(made)
            faulthandler.cancel_dump_traceback_later()

        run()
        if time.monotonic() >= end:
            break
    if SECONDS:
        print(f"\n{tried} inputs, first seed {first}")


# What the formats are made of, between which a made-up file alternates.
PIECES = st.sampled_from(
    [
        *rb""", ; | ' " "" = - 0 1,5 1.234 nan a b left video_id score mos { } [ ] : &a *a !!int 1e999 # % ?""".split(),
        *(b"\n", b"\r\n", b"\r", b"\t", b" ", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"9" * 400),
        "\u0301\u037e".encode(),
    ]
)


def mutants(whole: bytes) -> st.SearchStrategy[bytes]:
    """Return a whole file, changed at up to eight places: bytes replaced, cut out, put in or repeated."""
    piece = PIECES | st.binary(max_size=4)
    change = st.tuples(st.integers(0, max(len(whole), 1)), st.integers(0, 12), piece, st.integers(1, 3))

    def changed(changes: list[tuple[int, int, bytes, int]]) -> bytes:
        content = whole
        for place, length, put_in, times in changes:
            content = content[:place] + put_in * times + content[place + length :]
        return content

    return st.lists(change, min_size=1, max_size=8).map(changed)


def files(whole: bytes) -> st.SearchStrategy[bytes]:
    return mutants(whole) | st.lists(PIECES, max_size=40).map(b"".join) | st.binary(max_size=200)


def told(read: Callable[[Path], object], path: Path, content: bytes) -> object:
    """Return what a reader makes of a file's content; if it refuses it, that must be in one sentence that names it."""
    path.write_bytes(content)
    try:
        return read(path)
    except (ValueError, FileNotFoundError) as error:
        refused = error
    # Not what Python or a library said: a UnicodeDecodeError is a ValueError, too, but no sentence of ours.
    own = type(refused).__module__.startswith("cvqa_models.")
    assert own or type(refused) in (ValueError, FileNotFoundError), repr(refused)
    said = sentence(refused)
    assert said.isprintable(), said
    assert said.endswith("."), said
    return None


@pytest.mark.parametrize("reader", READERS)
def test_a_file_is_read_or_refused_in_a_sentence(tmp_path: Path, reader: str) -> None:
    read, ending, whole = READERS[reader]
    whole = whole or workbook()
    path = tmp_path / f"case{ending}"
    assert told(read, path, whole) is not None  # the file that is changed is whole
    for content in CORPUS:
        told(read, path, content)
    examine(files(whole), lambda content: told(read, path, content), examples=10 if ending == ".xlsx" else 60)


def is_a_name(text: str) -> bool:
    return bool(text) and text == text.strip() and text == unicodedata.normalize("NFC", text)


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("=+-@\t\r\n'\";,|. \u0301"),
    max_size=12,
).filter(is_a_name)
VALUES = st.floats(allow_nan=False, allow_infinity=False)


def test_a_table_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"

    def prove(cells: list[list[str]]) -> None:
        path.write_bytes(csv_text([["one", "two"], *cells]).encode())
        assert [list(row.values()) for row in rows(read_csv(path))] == cells

    examine(st.lists(st.lists(NAMES, min_size=2, max_size=2), min_size=1, max_size=6), prove, 100)


def test_predictions_come_back(tmp_path: Path) -> None:
    def prove(scores: dict[str, float]) -> None:
        write_predictions(tmp_path / "p.csv", [Prediction(name, "g", score) for name, score in scores.items()])
        assert read_predictions(tmp_path / "p.csv") == scores

    examine(st.dictionaries(NAMES, VALUES, min_size=1, max_size=6), prove, 60)


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    def prove(scores: dict[str, tuple[str, str, float]]) -> None:
        table = pd.DataFrame(
            [
                {"video_id": name, "group": group, "codec": codec, "mos": mos, "bitrate_kbps": math.nan}
                for name, (group, codec, mos) in scores.items()
            ]
        )
        write_manifest(tmp_path / "m.csv", table)
        records = read_manifest(tmp_path / "m.csv")
        assert {one.video_id: (one.group, one.codec, one.mos) for one in records} == scores

    examine(st.dictionaries(NAMES, st.tuples(NAMES, NAMES, VALUES), min_size=1, max_size=4), prove, 60)


def test_votes_come_back(tmp_path: Path) -> None:
    columns = ["participant", "group", "left", "right", "answer"]

    def prove(votes: list[tuple[str, ...]]) -> None:
        write_csv(tmp_path / "v.csv", pd.DataFrame(votes, columns=columns))
        assert [tuple(row.values()) for row in rows(read_csv(tmp_path / "v.csv", columns))] == votes

    answers = st.sampled_from(["left", "right", "equal"])
    examine(st.lists(st.tuples(NAMES, NAMES, NAMES, NAMES, answers), min_size=1, max_size=5), prove, 60)


def test_a_filled_template_fills_to_the_same(tmp_path: Path) -> None:
    def prove(content: bytes) -> None:
        first, again = tmp_path / "first.csv", tmp_path / "again.csv"
        (tmp_path / "t.csv").write_bytes(content)
        try:
            fill_template(tmp_path / "t.csv", first, SCORES)
        except ValueError:
            return
        fill_template(first, again, SCORES)
        assert again.read_bytes() == first.read_bytes()

    examine(mutants(b"name,note,score\na,x,\nb,y,\n"), prove, 60)


def test_features_come_back_from_inside_their_folder(tmp_path: Path) -> None:
    root = tmp_path / "store"

    def prove(names: tuple[str, str]) -> None:
        store = FeatureStore(root, "reading")
        store.write(*names, torch.ones(1, 2), {"reading": "reading"})
        assert store.read(*names).tolist() == [[1.0, 1.0]]
        assert store.path(*names).parent.parent == root
        assert [one.name for one in tmp_path.iterdir()] == ["store"]

    parts = st.lists(
        st.sampled_from(["..", "/", "\\", ".", "\0", "\n", "CON", "nul", "a", " ", "~", "%2e", ":", "x" * 90])
    )
    names = parts.map("".join) | st.text(max_size=20)
    examine(st.tuples(names, names), prove, 60)


def test_names_of_files_stay_apart() -> None:
    def prove(names: tuple[str, str]) -> None:
        made = [file_name(name) for name in names]
        assert (made[0] == made[1]) == (names[0] == names[1])
        for name in made:
            assert name.isascii()
            assert not set(name) & set('/\\\0:*?"<>|\n\r')
            assert not name.startswith(".")
            assert not name.endswith((".", " "))
            assert name.partition(".")[0].upper() not in ("", "CON", "NUL", "AUX", "PRN", "COM1", "LPT1")
            assert len(name) <= 200

    odd = ["..", ".", "", "%", "a.", "a ", "CON", "con.txt", "%43ON", "a" * 300, file_name("a" * 300), "é" * 300]
    names = st.text(max_size=20) | st.text(st.characters(), max_size=4) | st.sampled_from(odd)
    examine(st.tuples(names, names), prove, 300)
