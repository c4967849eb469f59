"""A pair test: each viewer's own order, answers that outlive the service, and a table that `votes scores` reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models.corpus.labels.vote_files import read_votes, screened_votes
from cvqa_models.serve.limits import RefusedError
from cvqa_models.serve.votes import Panel

QUESTIONS = ["c,a,b,", "c,b,d,", "c,d,a,", "c,a,d,left"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "questions.csv").write_text("\n".join(["group,left,right,expected", *QUESTIONS]) + "\n")
    (tmp_path / "manifest.csv").write_text("video_id,path\na,a.mp4\nb,b.mp4\nd,d.mp4\nunused,\n")
    for name in "abd":
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    return tmp_path


def panel(folder: Path) -> Panel:
    return Panel(folder / "questions.csv", folder / "manifest.csv", folder / "votes.csv")


def test_answers_are_what_the_commands_read(folder: Path) -> None:
    test = panel(folder)
    for viewer in ("anna", "=bea", "carl"):
        for number in test.left(viewer):
            question = test.questions[number]
            better = min(question.left, question.right)  # a before b before d
            test.answer(viewer, number, "left" if question.left == better and viewer != "carl" else "right")
    kept, viewers = screened_votes(folder / "votes.csv")
    assert viewers.set_index("participant")["kept"].to_dict() == {"anna": True, "=bea": True, "carl": False}
    kept.to_csv(folder / "screened.csv", index=False)
    fitted, left_out, _ = read_votes(folder / "screened.csv")
    assert fitted.sort_values("score", ascending=False)["video_id"].tolist() == ["a", "b", "d"]
    assert not left_out


def test_a_viewer_has_an_order_of_her_own_and_goes_on_after_a_restart(folder: Path) -> None:
    test = panel(folder)
    orders = {tuple(test.left(f"viewer {number}")) for number in range(20)}
    assert len(orders) > 10
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    first, *others = test.left("anna")
    test.answer("anna", first, "equal")
    assert test.left("anna") == others == panel(folder).left("anna")
    assert len(test.left("bea")) == 4


def test_an_answer_counts_once(folder: Path) -> None:
    test = panel(folder)
    test.answer("anna", 0, "left")
    with pytest.raises(RefusedError, match="has its answer from this viewer") as told:
        test.answer("anna", 0, "right")
    assert told.value.code == 409
    assert (folder / "votes.csv").read_text().count("\n") == 2


@pytest.mark.parametrize("number", [-1, 4])
def test_a_question_that_is_not_there_is_refused(folder: Path, number: int) -> None:
    test = panel(folder)
    with pytest.raises(RefusedError, match=f"There is no question {number}; there are 4"):
        test.answer("anna", number, "left")
    with pytest.raises(RefusedError, match="There is no such question"):
        test.file(number, "left")


def test_a_line_that_was_cut_off_is_taken_away(folder: Path) -> None:
    panel(folder).answer("anna", 0, "left")
    with (folder / "votes.csv").open("a") as file:
        file.write("anna,c,b")
    assert len(panel(folder).left("anna")) == 3
    assert (folder / "votes.csv").read_text() == "participant,group,left,right,expected,answer\nanna,c,a,b,,left\n"


def test_a_full_disk_leaves_the_votes_as_they_were(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = panel(folder)
    before = (folder / "votes.csv").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        test.answer("anna", 0, "left")
    assert (folder / "votes.csv").read_bytes() == before
    assert len(test.left("anna")) == 4


def test_sides_are_files(folder: Path) -> None:
    assert [panel(folder).file(1, side).read_text() for side in ("left", "right")] == ["b", "d"]


def test_what_does_not_fit_together_is_named(folder: Path) -> None:
    panel(folder).answer("anna", 0, "left")
    (folder / "b.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"leads to no file for 1 of the 3 videos .*\(first: 'b'\); give"):
        panel(folder)
    (folder / "b.mp4").touch()
    (folder / "questions.csv").write_text("group,left,right\nc,b,d\n")
    with pytest.raises(ValueError, match="holds an answer on 'a' and 'b', which is none of the questions; choose"):
        panel(folder)
