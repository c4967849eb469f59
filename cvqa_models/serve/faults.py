"""Answers to requests that fail: a code and one sentence."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cvqa_models.serve.limits import RefusedError

log = logging.getLogger(__name__)


def tell_faults(app: FastAPI) -> None:
    """Make an application answer each fault with `{"error": SENTENCE}`."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(sqlite3.Error, _disk)
    app.add_exception_handler(OSError, _disk)
    app.add_exception_handler(Exception, _ours)


def _told(code: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": sentence}, code, headers=headers)


def first_fault(errors: Sequence[Any]) -> str:
    """Return the first of pydantic's errors as a sentence."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    reason = first["msg"].removeprefix("Value error, ")
    return f"{f'`{place}`: ' if place else ''}{reason}; /openapi.json says what is expected."


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _told(error.code, error.sentence, None if error.wait is None else {"retry-after": str(error.wait)})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _told(error.status_code, f"{error.detail}; /openapi.json lists what there is.", error.headers)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _told(422, first_fault(error.errors()))


async def _disk(request: Request, error: Exception) -> Response:
    log.error("a request failed: %s", error)
    return _told(507, "The disk of the service cannot be written; nothing was left half-written. Try again later.")


async def _ours(request: Request, error: Exception) -> Response:
    return _told(500, "The service made a mistake, which its log describes; the other jobs go on.")
