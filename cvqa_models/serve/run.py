"""Start the service, and end it so that nothing is lost."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from cvqa_models.files import sole_owner
from cvqa_models.messages import say
from cvqa_models.serve.app import create_app
from cvqa_models.serve.guard import LOOPBACK
from cvqa_models.serve.jobs import Jobs
from cvqa_models.serve.metrics import Metrics
from cvqa_models.serve.pool import Pool
from cvqa_models.serve.serving import Service
from cvqa_models.serve.work import Work

if TYPE_CHECKING:
    from cvqa_models.serve.votes import Panel

_GRACE = 5  # seconds that open requests have to end when the service is stopped


@contextmanager
def service(
    work: Work,
    state: Path,
    workers: int,
    *,
    roots: Sequence[Path] = (),
    addresses: Sequence[str] = (),
    panel: Panel | None = None,
) -> Iterator[Service]:
    """Yield a service that takes jobs until the block ends; it goes on with the open jobs of an earlier service.

    Args:
        work: Function that a process calls with a job.
        state: Folder of jobs and files that were sent; it is made, and only one service can use it.
        workers: Number of processes.
        roots: Folders whose files may be named.
        addresses: Beginnings of addresses that may be fetched.
        panel: A pair test.

    Raises:
        ValueError: If another service has the folder, it cannot be written, or the model cannot be built.
    """
    with sole_owner(state / ".lock", f"Another service has '{state}'; stop it, or choose another folder."):
        uploads = state / "uploads"
        uploads.mkdir(exist_ok=True)
        jobs, metrics = Jobs(state / "jobs.sqlite", work.limits.queue), Metrics()
        jobs.recover()
        wanted = jobs.sources()
        for file in uploads.iterdir():  # files whose upload was cut off when an earlier service ended
            if str(file) not in wanted:
                file.unlink(missing_ok=True)
        pool = Pool(work, jobs, metrics, workers)
        try:
            model = pool.start()
            yield Service(jobs, pool, metrics, work.limits, model, workers, uploads, roots, addresses, panel)
        finally:
            pool.stop()
            jobs.close()


def open_door(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ValueError: If the address does not belong to this machine, or another program uses the port.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        door = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number is not None and number > 0 else error
        raise ValueError(
            f"Port {port} of '{host}' cannot be used ({reason}); choose with `--port` and `--host`."
        ) from error
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each answer waits 40 ms for its second half
    return door


def listen(served: Service, door: socket.socket) -> None:
    """Answer requests until a signal asks the process to end."""
    host, port = door.getsockname()[:2]
    app = create_app(served, host)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_GRACE, server_header=False)
    if host not in LOOPBACK:
        say(f"Whoever reaches port {port} may use this service; it asks for no password.", stderr=True)
    place = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    test = f"; the pair test is at {place}/vote" if served.panel is not None else ""
    say(f"{place} is ready: {served.model['model']}{test}", stderr=True)
    uvicorn.Server(config).run(sockets=[door])
