"""One JSON object a line on standard output, in the fields that Cloud Logging knows (severity,
message, time, logging.googleapis.com/trace). Never a key, a prompt, or the bytes of an image.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

_LOGGER = logging.getLogger("darkroom")
_LARGEST_FIELD = 2_000

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request being worked on, on every line written meanwhile."""
trace: ContextVar[str | None] = ContextVar("trace", default=None)
"""The trace the request belongs to: 32 hexadecimal digits."""


class _Line(logging.Formatter):
    """Renders a log record, and whatever `event` was given, as one line."""

    def __init__(self, project: str | None) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "message": record.getMessage(),
            "request_id": request_id.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["stack_trace"] = self.formatException(record.exc_info)
        if trace_id := trace.get():
            project = f"projects/{self._project}/traces/" if self._project else ""
            line["logging.googleapis.com/trace"] = project + trace_id
        return json.dumps({k: v for k, v in line.items() if v is not None}, default=str)


def start(level: str, project: str | None) -> None:
    """Send this project's lines to standard output; called once a process."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Line(project))
    _LOGGER.handlers = [handler]
    _LOGGER.propagate = False
    _LOGGER.setLevel(level)


def event(name: str, *, severity: str = "INFO", **fields: object) -> None:
    """Say that something happened: `name` in the field's words ("request.succeeded")."""
    short = {k: v[:_LARGEST_FIELD] if isinstance(v, str) else v for k, v in fields.items()}
    level = logging.getLevelNamesMapping()[severity]
    _LOGGER.log(level, name, extra={"fields": {"event": name, **short}})


def crash(name: str, error: BaseException) -> None:
    """A fault of ours, with its traceback, for Error Reporting."""
    _LOGGER.error(name, exc_info=error, extra={"fields": {"event": name}})
