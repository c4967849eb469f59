"""The HTTP service: its addresses, requests and answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError

from cvqa_models import __version__
from cvqa_models.serve.answers import SENT, Health, JobAnswer, Source, job_answer, refusals
from cvqa_models.serve.faults import first_fault, tell_faults
from cvqa_models.serve.guard import LOOPBACK, Guard
from cvqa_models.serve.limits import RefusedError
from cvqa_models.serve.pages import score_page
from cvqa_models.serve.results import result_rows, rows_csv, timelines_csv
from cvqa_models.serve.serving import Service, Serving
from cvqa_models.serve.sources import check_address, file_under, shown_name
from cvqa_models.serve.uploads import pass_over, receive
from cvqa_models.serve.vote_routes import router as panel_router

MOST = 1000  # largest number of jobs in one table
_LONGEST_JSON = 65536  # bytes


Chosen = Annotated[list[str], Query(min_length=1, max_length=MOST, description="Ids of jobs.")]
router = APIRouter()


def create_app(service: Service, host: str = "127.0.0.1") -> FastAPI:
    """Return the application.

    Args:
        service: The queue, the processes and the limits.
        host: The address at which it listens. If only this machine can reach it, requests by other host names are
            refused.
    """
    app = FastAPI(
        title="cvqa",
        version=__version__,
        description="Scores of compressed video, without a reference.",
        docs_url=None,  # these pages load scripts from another host
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(router)
    if service.panel is not None:
        app.include_router(panel_router)
    tell_faults(app)
    app.add_middleware(Guard, hosts=LOOPBACK if host in LOOPBACK else (), metrics=service.metrics)
    return app


@router.get("/", include_in_schema=False)
def index() -> Response:
    """Return the page on which users drop videos."""
    return score_page()


@router.post(
    "/v1/score",
    status_code=202,
    responses=refusals(400, 403, 404, 413, 415, 422, 429, 507),
    openapi_extra=SENT,
)
async def score(request: Request, response: Response, service: Serving) -> JobAnswer:
    """Take a video: as the part `file` of a multipart body, or named in JSON. The answer is a waiting job."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            identity = await _sent(request, service)
        elif kind == "application/json":
            identity = await _named(await _json(request), service)
        else:
            raise RefusedError(415, "Send the file as multipart/form-data, or name it as application/json.")
    except RefusedError:
        await pass_over(request)
        raise
    service.pool.wake()
    response.headers["location"] = f"/v1/jobs/{identity}"
    (found,) = await run_in_threadpool(service.jobs.find, [identity])
    return job_answer(found)


async def _sent(request: Request, service: Service) -> str:
    jobs = service.jobs
    identity = await run_in_threadpool(jobs.begin, "video", sent=True)
    kept = False
    try:
        name, path = await receive(request, service.uploads / identity, service.limits.size)
        service.metrics.count("cvqa_received_bytes_total", path.stat().st_size)
        await run_in_threadpool(jobs.received, identity, name, str(path))
        kept = True
    finally:
        if not kept:
            for left in service.uploads.glob(f"{identity}.*"):
                left.unlink(missing_ok=True)
            await run_in_threadpool(jobs.drop, identity)
    return identity


async def _json(request: Request) -> Source:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_JSON:
            raise RefusedError(413, f"The JSON is longer than {_LONGEST_JSON} bytes; name one video.")
    try:
        return Source.model_validate_json(bytes(body))
    except ValidationError as error:
        raise RefusedError(422, first_fault(error.errors())) from error


async def _named(source: Source, service: Service) -> str:
    if source.url is not None:
        check_address(service.addresses, source.url)
        place, name = source.url, shown_name(source.url.partition("?")[0])
    else:
        assert source.path is not None
        place, name = str(await run_in_threadpool(file_under, service.roots, source.path)), shown_name(source.path)
    return await run_in_threadpool(service.jobs.begin, name, place)


@router.get("/v1/jobs/{identity}", responses={422: {"model": JobAnswer}, **refusals(404)})
def job(identity: str, response: Response, service: Serving) -> JobAnswer:
    """Return a job. For a failed job the code is 422, and the answer says why."""
    (found,) = service.jobs.find([identity])
    if found.status == "failed":
        response.status_code = 422
    return job_answer(found)


PICTURE: dict[str, Any] = {
    "responses": {200: {"content": {"image/png": {}}}, **refusals(404)},
    "response_class": Response,
}


@router.get("/v1/jobs/{identity}/worst.png", **PICTURE)
def worst(identity: str, service: Serving) -> Response:
    """Return the worst frame of the worst second, small; the first frame where no second has a score."""
    return _png(service.jobs.picture(identity, "picture"))


@router.get("/v1/jobs/{identity}/heat.png", **PICTURE)
def heat(identity: str, service: Serving) -> Response:
    """Return the same frame with its heat map, bright where it scores lowest, if the model has one."""
    return _png(service.jobs.picture(identity, "heat"))


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers={"cache-control": "max-age=86400"})


@router.get(
    "/v1/results.csv",
    responses={200: {"content": {"text/csv": {}}}, **refusals(404, 422)},
    response_class=Response,
)
def results_csv(job: Chosen, service: Serving) -> PlainTextResponse:
    """Return a row for each of these jobs that is done, as `cvqa score` prints rows."""
    return PlainTextResponse(rows_csv(result_rows(service.jobs.find(job))), media_type="text/csv")


@router.get(
    "/v1/timelines.csv",
    responses={200: {"content": {"text/csv": {}}}, **refusals(404, 422)},
    response_class=Response,
)
def timelines(job: Chosen, service: Serving) -> PlainTextResponse:
    """Return a row for each second of these jobs, as `cvqa score --timeline x.csv` writes it."""
    return PlainTextResponse(timelines_csv(service.jobs.find(job)), media_type="text/csv")


@router.get("/v1/results.json", responses=refusals(404, 422))
def results_json(job: Chosen, service: Serving) -> list[JobAnswer]:
    """Return these jobs."""
    return [job_answer(found) for found in service.jobs.find(job)]


@router.get("/health", responses={503: {"model": Health}})
def health(response: Response, service: Serving) -> Health:
    """Return whether jobs are processed, the model, and the limits for a video."""
    response.status_code = 200 if service.pool.alive else 503
    return Health(
        status="ok" if service.pool.alive else "failed",
        version=__version__,
        model=dict(service.model),
        limits=vars(service.limits),
        workers=service.workers,
        jobs=service.jobs.counts(),
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(service: Serving) -> PlainTextResponse:
    """Return counters as Prometheus' text."""
    text = service.metrics.text(service.jobs.counts(), service.workers)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
