"""A pair test: the questions of `cvqa votes questions`, and the answers for `cvqa votes scores`."""

from __future__ import annotations

import os
import random
import threading
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from cvqa_models.corpus.labels.bradley_terry import ANSWERS
from cvqa_models.corpus.labels.votes import QUESTION_COLUMNS, VOTE_COLUMNS
from cvqa_models.data.manifest import read_table
from cvqa_models.serve.limits import RefusedError
from cvqa_models.tables import csv_text, read_csv


class Question(NamedTuple):
    """Two videos of one group; `expected` is the known answer of a verification question, else empty."""

    group: str
    left: str
    right: str
    expected: str


class Panel:
    """The questions of a test, their files, and the answers so far; threads may share it.

    A browser gets only numbers of questions, no names of videos and no expected answers. Each viewer has an own order
    of questions, and goes on where the viewer stopped.

    Args:
        questions: CSV `group,left,right,expected`.
        videos: Table of the videos, with `video_id` and `path`.
        votes: CSV to which each answer is appended at once; it may already exist.

    Raises:
        FileNotFoundError: If a table or a video is not there.
        ValueError: If a table is malformed, or the answers so far belong to other questions.
    """

    def __init__(self, questions: Path, videos: Path, votes: Path) -> None:
        table = read_csv(questions, ["group", "left", "right"])
        table = table if "expected" in table else table.assign(expected="")
        self.questions = [Question(*row) for row in table[QUESTION_COLUMNS].itertuples(index=False)]
        self._files = _files(videos, self.questions)
        self._votes, self._lock = votes, threading.Lock()
        self._answered: dict[str, set[int]] = defaultdict(set)
        self._read()

    def _read(self) -> None:
        self._votes.parent.mkdir(parents=True, exist_ok=True)
        self._votes.touch()
        with self._votes.open("r+b") as file:  # a last line that was cut short is removed
            file.truncate(file.read().rfind(b"\n") + 1)
        if self._votes.stat().st_size == 0:
            self._votes.write_text(csv_text([VOTE_COLUMNS]), encoding="utf-8")
        if self._votes.read_bytes().count(b"\n") == 1:
            return
        numbers = {question: number for number, question in enumerate(self.questions)}
        for _, row in read_csv(self._votes, VOTE_COLUMNS).iterrows():
            question = Question(*(row[column] for column in QUESTION_COLUMNS))
            if question not in numbers:
                raise ValueError(
                    f"'{self._votes}' holds an answer on '{question.left}' and '{question.right}', which is none of "
                    "the questions; choose another file for the votes."
                )
            self._answered[row["participant"]].add(numbers[question])

    def left(self, participant: str) -> list[int]:
        """Return the numbers of the questions that a viewer has not answered, in the viewer's order."""
        order = list(range(len(self.questions)))
        random.Random(participant).shuffle(order)
        with self._lock:
            return [number for number in order if number not in self._answered.get(participant, ())]

    def answer(self, participant: str, number: int, answer: str) -> None:
        """Store a viewer's answer.

        Raises:
            RefusedError: If there is no such question, or the viewer has already answered it.
            OSError: If the answer cannot be written; the file is then as before.
        """
        if not 0 <= number < len(self.questions):
            raise RefusedError(404, f"There is no question {number}; there are {len(self.questions)}, counted from 0.")
        assert answer in ANSWERS
        with self._lock:
            if number in self._answered[participant]:
                raise RefusedError(409, "This question has its answer from this viewer; go on with the next.")
            row = [participant, *self.questions[number], answer]
            _append(self._votes, csv_text([row]).encode())
            self._answered[participant].add(number)

    def file(self, number: int, side: str) -> Path:
        """Return the video on one side of a question.

        Raises:
            RefusedError: If there is no such question.
        """
        if not 0 <= number < len(self.questions):
            raise RefusedError(404, "There is no such question.")
        return self._files[getattr(self.questions[number], side)]


def _files(videos: Path, questions: list[Question]) -> dict[str, Path]:
    paths = {record.video_id: record.path for record in read_table(videos)}
    names = {name for question in questions for name in (question.left, question.right)}
    files = {name: Path(path) for name in names if (path := paths.get(name)) is not None}
    missing = sorted(name for name in names if name not in files or not files[name].is_file())
    if missing:
        raise FileNotFoundError(
            f"'{videos}' leads to no file for {len(missing)} of the {len(names)} videos that are asked about (first: "
            f"'{missing[0]}'); give the table with which the questions were made, with `path`."
        )
    return files


def _append(path: Path, line: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        place = file.tell()
        try:
            file.write(line)
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, place)
            raise
