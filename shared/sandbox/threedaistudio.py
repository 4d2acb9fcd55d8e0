"""3D AI Studio's API for pictures and 3D models: tasks that are submitted, looked at and fetched,
paid for in credits.

Facts: www.3daistudio.com/Platform/API/Documentation (February to June 2026) and what its public
clients have seen. The pages give an error's code and not its JSON, so a key chooses: one that
begins with "django" gets `{"detail"}`, any other `{"code", "message"}`.
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

import httpx

from shared.catalogue import Catalogue
from shared.domain import IMAGE_TYPES, Json
from shared.sandbox import directives
from shared.sandbox import threedaistudio_models as models
from shared.sandbox.directives import BadDirective, Calls, Orders
from shared.sandbox.faults import declared, disturbed
from shared.sandbox.threedaistudio_bodies import Refusal, Scene, understand
from shared.sandbox.threedaistudio_tasks import LIFE, RATE, Accounts, Task, Tasks

NAME = "threedaistudio"
WIRE = "threed_ai_studio"
SUBMIT = re.compile(r"/v1/images/(?P<model>[\w./-]+)/(?P<action>generate|edit)/")
SUBMIT_MODEL = re.compile(r"/v1/3d-models/(?P<path>[\w/-]+)/")
STATUS = re.compile(r"/v1/generation-request/([^/]+)/status/")
WALLET = re.compile(r"(?:/account)?/user/wallet/")
ASSET = re.compile(r"/assets/([0-9a-f-]{36})-([0-9])\.(png|jpeg|webp|glb|zip)")
ASSET_TYPES = {**IMAGE_TYPES, "glb": "model/gltf-binary", "zip": "application/zip"}
BEARER = re.compile(r"Bearer +(\S+) *")
KEYS = {
    "bad": (401, "invalid_api_key", "The API key is invalid."),
    "expired": (401, "api_key_expired", "The API key has expired."),
    "revoked": (401, "api_key_revoked", "The API key was revoked."),
}
"""How a key begins → how it is refused."""
WAITS = {"slow": ("PENDING", "IN_PROGRESS", "IN_PROGRESS"), "hung": ("PENDING",)}
"""How a key begins → what looks at its tasks show first. A hung one never gets further."""
PROFILES = (*KEYS, *WAITS, "django", "poor", "limited")
"""How a key may begin, several at once: "django-poor-…"."""
LIMITED = (429, "rate_limited", f"Rate limit exceeded: {RATE} requests per minute.")
FAULTS = {
    "rate_limited": (*LIMITED, "1"),
    "quota_exhausted": (429, "rate_limited", "The daily limit of this account is reached.", ""),
    "unavailable": (503, "service_unavailable", "The service is down for maintenance.", ""),
    "server_error": (500, "internal_error", "A server error occurred.", ""),
}
UNSAFE = "The image was blocked by the safety system. Credits were refunded."
NO_PICTURES = {"no_image": "EMPTY", "text_only": "LATE"}
"""Fault → what a finished task shows for ever."""


class ThreeDAIStudio:
    """The sandbox's 3D AI Studio. Thread-safe; its tasks and wallets live in memory."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], datetime], calls: Calls) -> None:
        self._routes = [(m, r) for m, r in catalogue.played_as(NAME) if r.wire == WIRE]
        self._clock = clock
        self._calls = calls
        self._tasks = Tasks()
        self._accounts = Accounts()
        self._count = itertools.count(1)

    def handle(self, request: httpx.Request, path: str) -> httpx.Response:
        """Answer a request for `path`, which is what follows the sandbox's prefix."""
        if asset := ASSET.fullmatch(path):
            return self._fetched(request, asset)
        shown = BEARER.fullmatch(request.headers.get("authorization", ""))
        key = shown[1] if shown else ""
        profile = _profile(key)
        try:
            return self._answered(request, path, key, profile)
        except Refusal as refusal:
            return _refused(refusal, django="django" in profile)

    def _answered(
        self, request: httpx.Request, path: str, key: str, profile: frozenset[str]
    ) -> httpx.Response:
        read, status = self._reader(path), STATUS.fullmatch(path)
        if not (read or status or WALLET.fullmatch(path)):
            raise Refusal(404, "not_found", "Not found.")
        self._check_key(key, profile)
        if request.method != ("POST" if read else "GET"):
            raise Refusal(405, "method_not_allowed", f'Method "{request.method}" not allowed.')
        if status:
            return self._looked_at(request, path, status[1], key)
        if read:
            call = str(next(self._count)).encode()
            return self._submitted(request, read(request, call=call), key)
        balance = self._accounts.balance(key, poor="poor" in profile)
        return _json({"balance": f"{balance:.2f}", "rate_limit": RATE})

    def _reader(self, path: str) -> Callable[..., Scene] | None:
        """What understands a submission to that path, if a live model has it."""
        today = self._clock().date()
        live = [(offer, route) for offer, route in self._routes if route.live(today)]
        if picture := SUBMIT.fullmatch(path):
            for offer, route in live:
                if route.wire_model == picture["model"] and picture["action"] in offer.operations:
                    return partial(understand, action=picture["action"], found=(offer, route))
        if model := SUBMIT_MODEL.fullmatch(path):
            offers = [o for o in live if o[0].three_d and models.path_of(o[1]) == model["path"]]
            return partial(models.understand, offers=offers) if offers else None
        return None

    def _check_key(self, key: str, profile: frozenset[str]) -> None:
        if not key:
            raise Refusal(*KEYS["bad"])
        for start in KEYS:
            if start in profile:
                raise Refusal(*KEYS[start])
        if "limited" in profile and not self._accounts.admit(key, self._clock()):
            # Django says how long to wait; of the vendor nobody has seen it.
            raise Refusal(*LIMITED, retry_after="20" if "django" in profile else "")

    def _submitted(self, request: httpx.Request, scene: Scene, key: str) -> httpx.Response:
        try:
            asked = directives.parse(scene.prompt)
        except BadDirective as error:
            raise Refusal(400, "validation_failed", str(error)) from error
        orders = self._calls.orders(asked, NAME, request)
        profile = _profile(key)
        try:
            if orders.fault in FAULTS:
                raise Refusal(*FAULTS[orders.fault])
            if not self._accounts.pay(key, scene.credits, poor="poor" in profile):
                raise Refusal(
                    402, "insufficient_credits", "Not enough credits. Top up your wallet."
                )
        except Refusal as refusal:
            return disturbed(_refused(refusal, django="django" in profile), orders)
        task = _task(scene, orders, key, self._clock())
        self._tasks.add(task)
        born = task.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return disturbed(_json({"task_id": task.id, "created_at": born}, 201), orders)

    def _looked_at(
        self, request: httpx.Request, path: str, task_id: str, key: str
    ) -> httpx.Response:
        seen = self._tasks.look(task_id, key)
        if seen is None:
            raise Refusal(404, "not_found", "Not found.")
        task, stage, refund = seen
        self._accounts.pay(key, -refund, poor="poor" in _profile(key))
        root = str(request.url.copy_with(query=None, fragment=None)).removesuffix(path)
        return _json(task.progress(stage, f"{root}/assets/"))

    def _fetched(self, request: httpx.Request, asset: re.Match[str]) -> httpx.Response:
        """A file that was made. Its host is a storage that knows no keys."""
        if "authorization" in request.headers:
            return _storage(400, "InvalidArgument", "Only one auth mechanism allowed.")
        task, number = self._tasks.find(asset[1]), int(asset[2])
        whole = task is not None and task.stages[-1] == "FINISHED"
        if task is None or not whole or task.extensions[number : number + 1] != (asset[3],):
            return _storage(404, "NoSuchKey", "The specified key does not exist.")
        if self._clock() - task.created_at >= LIFE:
            return _storage(403, "AccessDenied", "Request has expired.")
        kind = {"content-type": ASSET_TYPES[asset[3]]}
        return httpx.Response(200, headers=kind, content=task.sketches[number].file())


def _task(scene: Scene, orders: Orders, key: str, now: datetime) -> Task:
    """What comes of a submission."""
    # An archive beside a 3D model is no second thing to be had.
    whole = sum(sketch.asset_type != "ARCHIVE" for sketch in scene.sketches)
    kept = len(scene.sketches) - (orders.fault == "partial")
    failed = orders.fault == "blocked" or (orders.fault == "partial" and whole == 1)
    profile = _profile(key)
    waits = next((WAITS[start] for start in WAITS if start in profile), ())
    ends: tuple[str, ...] = ("LATE", "FINISHED")
    if failed:
        ends = ("FAILED",)
    elif orders.fault in NO_PICTURES:
        ends = (NO_PICTURES[orders.fault],)
    spoilt = orders.fault == "bad_base64"
    sketches = tuple(
        replace(sketch, min_bytes=orders.min_bytes, spoilt=spoilt)
        for sketch in scene.sketches[:kept]
    )
    return Task(
        id=str(uuid.uuid4()),
        owner=key,
        created_at=now,
        stages=waits if "hung" in profile else (*waits, *ends),
        sketches=sketches,
        extensions=tuple(declared(sketch.format, orders) for sketch in sketches),
        credits=scene.credits,
        reason=UNSAFE if failed else None,
    )


def _profile(key: str) -> frozenset[str]:
    """The names a key begins with."""
    found: set[str] = set()
    while start := next((name for name in PROFILES if key.startswith(name)), None):
        found.add(start)
        key = key[len(start) :].lstrip("-_")
    return frozenset(found)


def _json(body: Json, status: int = 200) -> httpx.Response:
    kind = {"content-type": "application/json"}
    return httpx.Response(status, headers=kind, content=json.dumps(body).encode())


def _refused(refusal: Refusal, *, django: bool) -> httpx.Response:
    body: dict[str, Json] = {"code": refusal.code, "message": refusal.message}
    response = _json({"detail": refusal.message} if django else body, refusal.status)
    if refusal.retry_after:
        response.headers["retry-after"] = refusal.retry_after
    return response


def _storage(status: int, code: str, message: str) -> httpx.Response:
    """An error of the host that keeps the pictures, which speaks XML."""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return httpx.Response(status, headers={"content-type": "application/xml"}, text=text)
