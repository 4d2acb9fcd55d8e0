"""One JSON object a line on standard output, in the fields that Cloud Logging and Error Reporting
know (docs.cloud.google.com/logging/docs/structured-logging, .../error-reporting/docs/
formatting-error-messages, 2026-11). Never a key or the bytes of an image; a prompt at most where a
provider's error repeats it.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

from shared import trace

_LOGGER = logging.getLogger("darkroom")
_LARGEST_FIELD = 2_000
_LARGEST_TEXT = 30_000
"""Of a message or a traceback, of which the end says most: an entry may have 256 KB."""
_SHORTEST_SECRET = 8
_GOOGLES = "logging.googleapis.com/"
_REPORTED = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request or batch being worked on, on every line written meanwhile."""


@dataclass(frozen=True)
class Source:
    """Whose lines these are: the Cloud project, and the deployed service with its revision."""

    project: str | None = None
    service: str | None = None
    revision: str | None = None


class _Line(logging.Formatter):
    """Renders a log record, and whatever `event` was given, as one line without the secrets."""

    def __init__(self, source: Source, secrets: Sequence[str]) -> None:
        super().__init__()
        self._source = source
        # As they stand in JSON, and nothing so short that it is part of everything.
        self._secrets = [json.dumps(one)[1:-1] for one in secrets if len(one) >= _SHORTEST_SECRET]

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "message": record.getMessage()[:_LARGEST_TEXT],
            "request_id": request_id.get(),
            **getattr(record, "fields", {}),
            **self._traced(),
        }
        if record.exc_info and record.exc_info[1]:
            line |= self._reported(record.exc_info[1], self.formatException(record.exc_info))
        text = json.dumps({k: v for k, v in line.items() if v is not None}, default=str)
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text

    def _traced(self) -> dict[str, object]:
        """What has Cloud Logging show a line under its request."""
        traceparent = trace.current.get()
        if traceparent is None:
            return {}
        _, trace_id, span_id, flags = traceparent.split("-")
        project = f"projects/{self._source.project}/traces/" if self._source.project else ""
        return {
            f"{_GOOGLES}trace": project + trace_id,
            f"{_GOOGLES}spanId": span_id,
            f"{_GOOGLES}trace_sampled": bool(int(flags, 16) & 1),
        }

    def _reported(self, error: BaseException, stack: str) -> dict[str, object]:
        """What has Error Reporting count an error, as one of this service's; not twice, though."""
        if _known(error):
            return {"cause": repr(error)[:_LARGEST_FIELD]}
        said: dict[str, object] = {"stack_trace": stack[-_LARGEST_TEXT:]}
        if self._source.service:
            context = {"service": self._source.service, "version": self._source.revision}
            said |= {"@type": _REPORTED, "serviceContext": context}
        return said


def start(level: str, source: Source, secrets: Sequence[str] = ()) -> None:
    """Send every line to standard output, what libraries warn of too; `secrets` are blacked out in
    whatever anybody says."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Line(source, secrets))
    logging.captureWarnings(True)
    # Nobody is told of them, and to find them out costs as much as the rest of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.root.handlers = [handler]
    logging.root.setLevel("WARNING")
    _LOGGER.setLevel(level)


@contextmanager
def about(subject: str, traceparent: str | None) -> Iterator[None]:
    """Work on one of several things in turn: what is logged and sent meanwhile is about it."""
    before = request_id.set(subject), trace.current.set(trace.current.get())
    trace.follow(traceparent)
    try:
        yield
    finally:
        request_id.reset(before[0])
        trace.current.reset(before[1])


def event(name: str, *, severity: str = "INFO", **fields: object) -> None:
    """Say that something happened: `name` in the field's words ("request.ended")."""
    short = {k: v[:_LARGEST_FIELD] if isinstance(v, str) else v for k, v in fields.items()}
    level: int = getattr(logging, severity)
    _LOGGER.log(level, name, extra={"fields": {"event": name, **short}})


def crash(name: str, error: BaseException) -> None:
    """A fault of ours, with its traceback, for Error Reporting: once, whoever else meets the same
    error on its way up, or one that was raised because of it."""
    severity = logging.WARNING if _known(error) else logging.ERROR
    _LOGGER.log(severity, name, exc_info=error, extra={"fields": {"event": name}})
    # A few take no attributes, and are reported again.
    with suppress(AttributeError):
        error.reported = True  # type: ignore[attr-defined]


def _known(error: BaseException | None) -> bool:
    """Whether it, or what it came of, was reported before."""
    while error is not None:
        if getattr(error, "reported", False):
            return True
        error = error.__cause__
    return False
