"""One JSON object a line on standard output, in the fields that Cloud Logging and Error Reporting
know (docs.cloud.google.com/logging/docs/structured-logging, .../error-reporting/docs/
formatting-error-messages, 2026-11). Never a key, a prompt, or the bytes of an image.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

from shared import trace

_LOGGER = logging.getLogger("darkroom")
_LARGEST_FIELD = 2_000
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
    """Renders a log record, and whatever `event` was given, as one line."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "message": record.getMessage(),
            "request_id": request_id.get(),
            **getattr(record, "fields", {}),
            **self._traced(),
        }
        if record.exc_info:
            line |= self._reported(self.formatException(record.exc_info))
        return json.dumps({k: v for k, v in line.items() if v is not None}, default=str)

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

    def _reported(self, stack: str) -> dict[str, object]:
        """What has Error Reporting count an error, as one of this service's."""
        said: dict[str, object] = {"stack_trace": stack}
        if self._source.service:
            context = {"service": self._source.service, "version": self._source.revision}
            said |= {"@type": _REPORTED, "serviceContext": context}
        return said


def start(level: str, source: Source) -> None:
    """Send every line to standard output, what libraries warn of too; called once a process."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Line(source))
    logging.captureWarnings(True)
    logging.root.handlers = [handler]
    logging.root.setLevel("WARNING")
    _LOGGER.setLevel(level)


def event(name: str, *, severity: str = "INFO", **fields: object) -> None:
    """Say that something happened: `name` in the field's words ("request.ended")."""
    short = {k: v[:_LARGEST_FIELD] if isinstance(v, str) else v for k, v in fields.items()}
    level = logging.getLevelNamesMapping()[severity]
    _LOGGER.log(level, name, extra={"fields": {"event": name, **short}})


def crash(name: str, error: BaseException) -> None:
    """A fault of ours, with its traceback, for Error Reporting: once, whoever else meets the same
    error on its way up."""
    if getattr(error, "reported", False):
        event(name, severity="WARNING", cause=repr(error))
        return
    _LOGGER.error(name, exc_info=error, extra={"fields": {"event": name}})
    error.reported = True  # type: ignore[attr-defined]
