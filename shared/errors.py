"""Every error a caller can meet, named by what it means for them.

    DarkroomError
    ├── Refused                  the caller can change something; nothing was charged
    │   ├── InvalidRequest       400   ├── Unauthenticated      401   ├── InsufficientCredit  402
    │   ├── Forbidden            403   ├── NotFound             404   ├── InProgress          409
    │   ├── ModelRetired         410   ├── PayloadTooLarge      413   ├── UnsupportedImage    415
    │   ├── IdempotencyConflict  422   ├── ContentBlocked       422   ├── NoImage             422
    │   ├── RateLimited          429   └── QuotaExceeded        429
    └── Failed                   the caller cannot; nothing was charged
        ├── Internal             500
        ├── ProviderError        502
        ├── ProviderUnavailable  503   ── Misconfigured, LocationRefused: the same to a caller,
        │                                 and not cured by waiting
        └── OutcomeUnknown       504   the provider may have done the work: never sent again

`code` is the stable name on the wire. `message` is safe to show; `private` is for the log only.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain import Json, Problem, Usage

HTTP_STATUS = "http_status"
"""In `details`: the status a provider answered with. It shows in `attempts`, not in the error."""


class DarkroomError(Exception):
    """The root. `elsewhere` says whether another route may be tried after this error."""

    code = "internal"
    status = 500
    retryable = False
    elsewhere = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        provider: str | None = None,
        details: Mapping[str, Json] | None = None,
        private: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.provider = provider
        self.details = dict(details or {})
        self.private = private
        self.request_id: str | None = None
        """Of the record that keeps this error, once there is one."""
        self.usage: Usage | None = None
        """What the provider counted, and may charge for, all the same."""
        self.paid = False
        """Whether it may have made, and charged for, all that was asked, uncounted."""


class Refused(DarkroomError):
    """The caller can put it right."""


class InvalidRequest(Refused):
    """A field is wrong; `param` names it."""

    code = "invalid_request"
    status = 400


class Unauthenticated(Refused):
    """No key, or one that opens nothing."""

    code = "unauthenticated"
    status = 401


class InsufficientCredit(Refused):
    """The account cannot cover the estimate."""

    code = "insufficient_credit"
    status = 402


class Forbidden(Refused):
    """The key is good and not allowed to do this."""

    code = "forbidden"
    status = 403


class NotFound(Refused):
    """Nothing of that name belongs to the caller."""

    code = "not_found"
    status = 404


class InProgress(Refused):
    """The same idempotency key is still being worked on."""

    code = "in_progress"
    status = 409
    retryable = True


class ModelRetired(Refused):
    """No route of the model is live; `details.successor` names what replaced it."""

    code = "model_retired"
    status = 410


class PayloadTooLarge(Refused):
    """A body or an image has more bytes or pixels than are taken."""

    code = "payload_too_large"
    status = 413


class UnsupportedImage(Refused):
    """The bytes are not a whole image of a kind that is taken."""

    code = "unsupported_image"
    status = 415


class IdempotencyConflict(Refused):
    """The idempotency key was used before with another body."""

    code = "idempotency_conflict"
    status = 422


class ContentBlocked(Refused):
    """The provider refused the content; another provider is not asked."""

    code = "content_blocked"
    status = 422


class NoImage(Refused):
    """The provider answered without a picture."""

    code = "no_image"
    status = 422


class RateLimited(Refused):
    """Too many requests for now, by our limit or the provider's."""

    code = "rate_limited"
    status = 429
    retryable = True
    elsewhere = True


class QuotaExceeded(Refused):
    """A day's or month's allowance is used up, ours or the provider's."""

    code = "quota_exceeded"
    status = 429
    retryable = True
    elsewhere = True


class Failed(DarkroomError):
    """The caller cannot put it right."""


class Internal(Failed):
    """A fault of ours."""


class ProviderError(Failed):
    """The provider answered something that cannot be used."""

    code = "provider_error"
    status = 502
    retryable = True


class ProviderUnavailable(Failed):
    """The provider took nothing on: it is safe to ask again, or elsewhere."""

    code = "provider_unavailable"
    status = 503
    retryable = True
    elsewhere = True


class Misconfigured(ProviderUnavailable):
    """The operator's key or plan does not open this model at this provider."""

    retryable = False


class LocationRefused(ProviderUnavailable):
    """The provider does not serve the place this project runs in."""

    retryable = False


class OutcomeUnknown(Failed):
    """No answer came back after the request was sent."""

    code = "outcome_unknown"
    status = 504


def every(root: type[DarkroomError] = DarkroomError) -> list[type[DarkroomError]]:
    """The tree as a list, each class before its children."""
    return [root, *(error for child in root.__subclasses__() for error in every(child))]


def by_code(code: str) -> type[DarkroomError]:
    """The class that carries a code, for an error read back from a record."""
    return next((error for error in every() if error.code == code), Internal)


def error_of(problem: Problem) -> DarkroomError:
    """The error that a record keeps."""
    error = by_code(problem.code)(
        problem.message,
        param=problem.param,
        retry_after_s=problem.retry_after_s,
        provider=problem.provider,
        details=problem.details,
    )
    # Two errors may share a code, and only one of them be cured by waiting.
    error.retryable = problem.retryable
    return error


def problem_of(error: DarkroomError) -> Problem:
    """An error as records keep it and callers see it."""
    return Problem(
        code=error.code,
        message=error.message,
        param=error.param,
        provider=error.provider,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
        details={k: v for k, v in error.details.items() if k != HTTP_STATUS},
    )
