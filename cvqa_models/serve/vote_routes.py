"""A pair test over HTTP: its page, the open questions of a viewer, the videos, and the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from cvqa_models.serve.answers import refusals
from cvqa_models.serve.pages import vote_page
from cvqa_models.serve.serving import Serving

if TYPE_CHECKING:
    from cvqa_models.serve.votes import Panel  # slow to import, and few services have a test

AHEAD = 2
"""Number of questions that a browser gets at a time: the current one, and the next one, which it loads meanwhile."""

LONGEST = 64
"""Largest number of letters of a viewer's name."""

NAME = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
"""A viewer's name: letters without a line end, and without blanks at its start and end."""

router = APIRouter()


class Vote(BaseModel):
    """A viewer's answer to a question."""

    model_config = ConfigDict(extra="forbid")

    participant: str = Field(min_length=1, max_length=LONGEST, pattern=NAME)
    question: int = Field(strict=True)
    answer: Literal["left", "right", "equal"]


class Left(BaseModel):
    """The open questions of a viewer: numbers of the next questions, in the viewer's order."""

    total: int
    answered: int
    questions: list[int]


@router.get("/vote", include_in_schema=False)
def page() -> Response:
    """Return the page on which viewers compare videos."""
    return vote_page()


@router.get("/v1/questions", responses=refusals(422))
def left(participant: Annotated[str, Query(min_length=1, max_length=LONGEST, pattern=NAME)], service: Serving) -> Left:
    """Return the open questions of a viewer."""
    return _left(_panel(service), participant)


@router.post("/v1/votes", responses=refusals(404, 409, 422, 507))
def answer(vote: Vote, service: Serving) -> Left:
    """Store an answer, and return the open questions of the viewer."""
    _panel(service).answer(vote.participant, vote.question, vote.answer)
    service.metrics.count("cvqa_votes_total")
    return _left(_panel(service), vote.participant)


@router.get(
    "/v1/questions/{number}/{side}",
    responses={200: {"content": {"application/octet-stream": {}}}, **refusals(404, 422)},
    response_class=FileResponse,
)
def video(number: int, side: Literal["left", "right"], service: Serving) -> FileResponse:
    """Return the video on one side of a question; the address does not show which video it is."""
    return FileResponse(_panel(service).file(number, side), media_type="application/octet-stream")


def _panel(service: Serving) -> Panel:
    assert service.panel is not None  # without a test, these addresses do not exist
    return service.panel


def _left(panel: Panel, participant: str) -> Left:
    numbers, total = panel.left(participant), len(panel.questions)
    return Left(total=total, answered=total - len(numbers), questions=numbers[:AHEAD])
