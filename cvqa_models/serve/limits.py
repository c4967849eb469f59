"""The limits of the service, and the error for requests that it refuses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The limits for one video, and for all jobs together.

    Attributes:
        megabytes: Largest size of a file that is sent or fetched, in millions of bytes.
        duration: Largest length of a video in seconds.
        seconds: Largest time for one job, after which its process is killed.
        queue: Largest number of jobs that are received, wait or run at a time.

    Raises:
        ValueError: If one of them is not positive.
    """

    megabytes: float = 2000.0
    duration: float = 1800.0
    seconds: float = 600.0
    queue: int = 100

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"The limit `{name}` is {value:g}; expected more than 0.")

    @property
    def size(self) -> int:
        """Return the largest size of a file in bytes."""
        return int(self.megabytes * 1_000_000)


class RefusedError(Exception):
    """The service refuses a request.

    Attributes:
        code: Code of the HTTP answer.
        sentence: Message for the client.
        wait: Seconds after which it may ask again, if that helps.
    """

    def __init__(self, code: int, sentence: str, wait: int | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.wait = wait
