"""What the command line says of an error, in one line: of ours, of the backends, of Google's
services. Anything else is a fault of ours and keeps its traceback."""

from __future__ import annotations

from collections.abc import Iterator

from shared.cli_output import printable

LOG_IN = "gcloud auth application-default login"


def line(error: BaseException) -> str | None:
    """What to tell of an error; None where it is a fault of ours."""
    texts = (text for say in (_ours, _of_google, _of_the_machine) for text in say(error))
    text = next(texts, None)
    return None if text is None else printable(" ".join(text.split()))


def _ours(error: BaseException) -> Iterator[str]:
    from shared.catalogue import BadCatalogue
    from shared.errors import DarkroomError
    from shared.links import Unsigned
    from shared.settings import BadSettings

    if isinstance(error, DarkroomError):
        yield error.message
    if isinstance(error, BadSettings | BadCatalogue | Unsigned):
        yield str(error)


def _of_google(error: BaseException) -> Iterator[str]:
    """Firestore, Pub/Sub and Cloud Storage raise the classes of one library, or of gRPC below it
    (googleapis.dev/python/google-api-core/latest/exceptions.html, 2026-11)."""
    from google.api_core import exceptions as api
    from google.auth.exceptions import GoogleAuthError
    from grpc import RpcError

    if isinstance(error, api.RetryError) and error.cause is not None:
        yield from _of_google(error.cause)
    if isinstance(error, GoogleAuthError):
        yield f"Google knows no valid credentials here; try `{LOG_IN}`: {error}"
    if isinstance(error, api.Unauthenticated):
        yield f"Google does not take these credentials; try `{LOG_IN}`: {error}"
    if isinstance(error, api.Forbidden):
        yield f"Google does not allow it to these credentials: {error}"
    if isinstance(error, api.NotFound):
        yield f"Google has nothing of the name that the environment says: {error}"
    if isinstance(error, api.ServerError | api.TooManyRequests | api.RetryError):
        yield f"Google's service does not answer now; try again: {error}"
    if isinstance(error, api.GoogleAPIError | RpcError):
        yield f"Google's service refused it: {error}"


def _of_the_machine(error: BaseException) -> Iterator[str]:
    from sqlite3 import Error

    from shared.settings import Settings

    if isinstance(error, Error):
        yield f"{Settings.from_env().data.absolute()}: {error}"
    if isinstance(error, OSError):
        yield str(error) or type(error).__name__
