"""Every function as the plan deploys it, in one story: each a process of the Functions Framework
with exactly the plan's environment, Google's emulators of Firestore and Pub/Sub and a Storage
server between them.

Not seen here: that Google takes the plan, its permissions and tokens, links that Cloud Storage
signs (tests/storage/test_gcs.py has the signature), and Python 3.13, which the functions run on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.darkroom import photo
from tests.functions.test_processes import DEADLINE_S
from tests.infra.cloud import Cloud, Emulators, deployed_here, start, stop, unpacked
from tests.infra.deployed import PRIVATE, applied
from tests.infra.function import Function
from tests.infra.promises import CALL_PROVIDERS

pytestmark = [pytest.mark.infra, pytest.mark.process]

PROMPT = "a lighthouse in fog"
CUP = {"model": "nano-banana", "prompt": PROMPT}
TRACE = "0af7651916cd43dd8448eb211c80319c"
LONGEST_S = 60.0
TICK_EVERY_S = 1.0
PNG, GLB = b"\x89PNG", b"glTF"
IN_BASE64 = ("iVBORw0KGgo", "/9j/")
"""How PNG and JPEG begin."""
TALKATIVE = {*CALL_PROVIDERS, "batch"}
EVERY = 9
"""Seven requests and two batches."""
ENDED = {"succeeded", "failed", "cancelled"}


def seen(folder: Path) -> dict[Path, float]:
    """Every file and folder in one, and when it was changed."""
    return {path: path.stat().st_mtime for path in [folder, *folder.rglob("*")]}


@pytest.mark.emulator
def test_every_function_does_its_part(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str
) -> None:
    plan = applied("first", tmp_path / "terraform")
    emulators = Emulators(firestore_emulator, pubsub_emulator)
    with deployed_here(plan, tmp_path, emulators) as cloud:
        before = seen(tmp_path / "workspace")
        account = cloud.operate("accounts", "create", "me", "--credit-usd", "5")["id"]
        key = cloud.operate("keys", "create", account, "--test")["key"]
        with cloud.caller(key) as caller:
            solid = accepted(caller.post("/three-d", json={**CUP, "model": "hunyuan-3d"}))
            batches = [batch_of_five(caller, mode) for mode in ("provider", "fanout")]
            deferred = request_put_off(caller)
            upload_becomes_an_edit(cloud, account)
            picture_is_made_and_downloaded(caller, plan.outputs["first_picture"])
            file_sent_ahead_is_edited(caller)
            other_surfaces_answer(caller)
            strangers_are_turned_away(cloud)
            page_comes_with_all_it_loads(cloud)
            whatever_was_put_off_ends(cloud, caller)
            results_are_read(caller, solid, batches)
        audit = cloud.operate("ledger", "check")
        assert (audit["requests"], audit["findings"]) == (7, [])
        assert seen(tmp_path / "workspace") == before
    for function in cloud.functions.values():
        assert function.ended_well, function.said()
        # The socket that gunicorn can be asked by; Cloud Run keeps such files in memory.
        assert function.left <= {".gunicorn"}
        logs_are_fit_to_read(function, key)
    assert {name for name, one in cloud.functions.items() if one.lines()} >= TALKATIVE
    trace_is_kept(cloud, deferred)


def test_every_function_starts_with_every_option(tmp_path: Path) -> None:
    plan = applied("everything", tmp_path / "terraform")
    planned = plan.of("google_cloudfunctions2_function").values()
    functions = {one.name: one for one in (Function(values, {}) for values in planned)}
    try:
        start(functions.values(), unpacked(plan, tmp_path / "workspace"), tmp_path)
        for function in functions.values():
            page, *_ = function.planned()["DARKROOM_CORS_ORIGINS"].split(",")
            asked = {"origin": page, "access-control-request-method": "POST"}
            # Only an App that took its settings knows whose pages may ask.
            answer = httpx.options(function.url, headers=asked, timeout=DEADLINE_S)
            assert answer.headers["access-control-allow-origin"] == page, function.said()
            assert function.said() == ""
        webhook = f"{functions['provider_webhook'].url}/openai"
        assert httpx.post(webhook, json={}, timeout=DEADLINE_S).status_code == 401
    finally:
        stop(functions.values())


def accepted(answer: httpx.Response) -> str:
    """The id of what will be made later."""
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def batch_of_five(caller: httpx.Client, mode: str) -> str:
    items = [{**CUP, "custom_id": f"i{number}"} for number in range(5)]
    return accepted(caller.post("/batch", json={"items": items, "mode": mode}))


def request_put_off(caller: httpx.Client) -> str:
    headers = {"prefer": "respond-async", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    return accepted(caller.post("/generate", json=CUP, headers=headers))


def upload_becomes_an_edit(cloud: Cloud, account: str) -> None:
    """A pipeline of the operator's writes into the bucket of uploads."""
    bucket = cloud.functions["on_upload"].planned()["DARKROOM_UPLOADS_BUCKET"]
    fields = {"darkroom-prompt": PROMPT, "darkroom-model": "nano-banana", "darkroom-test": "1"}
    cloud.put(bucket, f"uploads/{account}/pipeline-1/mug.jpg", photo(), fields)


def picture_is_made_and_downloaded(caller: httpx.Client, command: str) -> None:
    """By what an operator copies, which sends its JSON as curl does."""
    curl, url, *_, body = shlex.split(command)
    assert curl == "curl"
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = caller.post(url, content=body, headers=form)
    assert answer.status_code == 200, answer.text
    (image,) = answer.json()["images"]
    # A browser has the link and no key.
    with httpx.Client(transport=caller._transport, timeout=DEADLINE_S) as browser:
        found = browser.get(image["url"])
    assert hashlib.sha256(found.content).hexdigest() == image["sha256"]
    assert found.headers["content-type"] == image["content_type"]


def file_sent_ahead_is_edited(caller: httpx.Client) -> None:
    """By a link of our own: the one that Cloud Storage takes needs Google to sign it."""
    data = photo()
    asked = {"filename": "mug.jpg", "content_type": "image/jpeg", "bytes": len(data)}
    leave = caller.post("/account/uploads", json=asked).json()
    assert caller.put(leave["url"], content=data, headers=leave["headers"]).status_code == 204
    body = {**CUP, "images": [{"upload_id": leave["upload_id"]}]}
    assert caller.post("/edit", json=body).json()["status"] == "succeeded"


def other_surfaces_answer(caller: httpx.Client) -> None:
    openai = caller.post("/openai/v1/images/generations", json={**CUP, "model": "gpt-image"})
    assert base64.b64decode(openai.json()["data"][0]["b64_json"]).startswith(PNG)
    body = {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}
    gemini = caller.post("/gemini/v1beta/models/nano-banana:generateContent", json=body)
    parts = gemini.json()["candidates"][0]["content"]["parts"]
    (inline,) = (part["inlineData"] for part in parts if "inlineData" in part)
    assert base64.b64decode(inline["data"]).startswith(PNG)
    assert "nano-banana" in caller.get("/models").text


def strangers_are_turned_away(cloud: Cloud) -> None:
    with cloud.caller() as stranger:
        assert stranger.post("/generate", json=CUP).status_code == 401
        assert stranger.post("/provider-webhook/openai", json={}).status_code == 404
        for name in PRIVATE:
            assert stranger.post(f"/{name.replace('_', '-')}", json={}).status_code == 404


def page_comes_with_all_it_loads(cloud: Cloud) -> None:
    """From what was unpacked of the zip, at its own address and under its name."""
    with cloud.caller() as browser:
        page = browser.get("/studio")
        assert page.headers["content-type"] == "text/html; charset=utf-8", page.text
        for name in re.findall(r'(?:src|href)="(\w+\.(?:js|css))"', page.text):
            assert browser.get(f"/studio/{name}").status_code == 200
    at_its_own = httpx.get(cloud.functions["studio"].url, timeout=DEADLINE_S)
    public_url = cloud.functions["studio"].planned()["DARKROOM_PUBLIC_URL"]
    assert f'<base href="{public_url}/studio/"' in at_its_own.text


def whatever_was_put_off_ends(cloud: Cloud, caller: httpx.Client) -> None:
    """With the ticks of a scheduler in a hurry: nothing else moves a provider's batch, or a 3D
    model, once it has been sent there."""
    ends = time.monotonic() + LONGEST_S
    while open_still(caller):
        assert time.monotonic() < ends, open_still(caller)
        cloud.tick()
        time.sleep(TICK_EVERY_S)
    tick = {"message": {"data": "dGljaw==", "messageId": "1"}, "subscription": "s"}
    answer = httpx.post(cloud.functions["sweep"].url, json=tick, timeout=DEADLINE_S)
    assert answer.status_code == 204


def open_still(caller: httpx.Client) -> list[str]:
    """The requests and batches that have not ended, if all have come that will."""
    found = [*listed(caller, "/account/requests"), *listed(caller, "/batch")]
    waiting = [f"{one['id']}: {one['status']}" for one in found if one["status"] not in ENDED]
    return waiting if len(found) == EVERY else [*waiting, f"there are {len(found)}"]


def listed(caller: httpx.Client, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.get(path).json()["data"]
    return found


def results_are_read(caller: httpx.Client, solid: str, batches: list[str]) -> None:
    requests = {one["id"]: one for one in listed(caller, "/account/requests")}
    assert {one["status"] for one in requests.values()} == {"succeeded"}
    assert "pipeline-1" in {one["metadata"].get("upload_id") for one in requests.values()}
    (asset,) = requests[solid]["assets"]
    assert caller.get(asset["url"]).content.startswith(GLB)
    for batch in batches:
        assert caller.get(f"/batch/{batch}").json()["counts"]["succeeded"] == 5
        results = caller.get(f"/batch/{batch}/results").text.splitlines()
        lines = {line["custom_id"]: line for line in map(json.loads, results)}
        assert set(lines) == {f"i{number}" for number in range(5)}
        assert caller.get(lines["i4"]["images"][0]["url"]).content.startswith(PNG)


def logs_are_fit_to_read(function: Function, key: str) -> None:
    """Of the right form, with nothing wrong and nothing that is nobody's business."""
    for line in function.lines():
        assert line["severity"] == "INFO", line
        assert line["message"] and line["time"], line
    private = [key, PROMPT, *IN_BASE64, *function.secrets()]
    assert not [text for text in private if text in function.said()], function.name


def trace_is_kept(cloud: Cloud, request_id: str) -> None:
    """What another function does later for a request is found with it."""
    done = [
        line for line in cloud.functions["run_request"].lines() if line["request_id"] == request_id
    ]
    assert "request.ended" in {line["event"] for line in done}
    assert {line["logging.googleapis.com/trace"] for line in done} == {
        f"projects/{cloud.project}/traces/{TRACE}"
    }
