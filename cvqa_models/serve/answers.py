"""The answers of the service, as its OpenAPI page describes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cvqa_models.serve.jobs import Found

Status = Literal["receiving", "queued", "running", "done", "failed"]


class Refusal(BaseModel):
    """Why a request was refused, in one sentence."""

    error: str


class Source(BaseModel):
    """A video that is not sent: a file below a folder of the service, or an address that it may fetch."""

    model_config = ConfigDict(extra="forbid")

    path: str | None = Field(None, min_length=1, max_length=4096)
    url: str | None = Field(None, min_length=1, max_length=4096, pattern="^https?://")

    @model_validator(mode="after")
    def _one(self) -> Source:
        if (self.path is None) == (self.url is None):
            raise ValueError("expected either `path` or `url`")
        return self


class Result(BaseModel):
    """A score with its details, as in `cvqa_models.Score`; `worst` is the index of the lowest value of `seconds`."""

    video: str
    measure: str
    score: float
    scale: str
    details: dict[str, float]
    duration: float
    seconds: list[float | None]
    worst: int | None
    timeline: dict[str, Any]
    pictures: list[str]
    notes: list[str]
    provenance: dict[str, str]


class JobAnswer(BaseModel):
    """A job: its status, how many jobs are before it, and its result or the reason why there is none."""

    id: str
    name: str
    status: Status
    ahead: int
    result: Result | None = None
    error: str | None = None


class Health(BaseModel):
    """Whether the service works, its model, the limits for a video, and the number of jobs of each status."""

    status: Literal["ok", "failed"]
    version: str
    model: dict[str, str]
    limits: dict[str, float]
    workers: int
    jobs: dict[str, int]


def job_answer(found: Found) -> JobAnswer:
    """Return a job as an answer."""
    return JobAnswer.model_validate(vars(found))


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of refusals with these codes."""
    content = {"application/json": {"schema": Refusal.model_json_schema()}}
    return {code: {"description": "Not taken, for the reason in `error`", "content": content} for code in codes}


SENT = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "additionalProperties": False,
                }
            },
            "application/json": {
                "schema": {
                    "oneOf": [
                        {
                            "type": "object",
                            "required": [name],
                            "properties": {name: {"type": "string", "minLength": 1, "maxLength": 4096, **more}},
                            "additionalProperties": False,
                        }
                        for name, more in (("path", {}), ("url", {"pattern": "^https?://"}))
                    ]
                }
            },
        },
    }
}
"""The two bodies that a request for a score may have, as an OpenAPI description."""
