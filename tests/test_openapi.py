"""The API's description holds together, and says what the API does."""

from __future__ import annotations

import importlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

import main
from functions import account, batch, http
from shared import batch_lines, errors, openapi, sweep
from shared.batch_body import NOT_OF_DEFAULTS
from shared.body import EditBody
from tests.darkroom import TEST_KEY, Darkroom, mask, photo, play
from tests.upstream import picture, refusal, withheld

DOCUMENT = openapi.document("http://darkroom.test")
AUTH = {"authorization": f"Bearer {TEST_KEY}"}
CUP = {"model": "nano-banana-pro", "prompt": "a cup"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of everything described."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def described(method: str, path: str) -> tuple[str, dict[str, Any]]:
    """The path template, and its operation, that a request goes to; a path without a place for an
    id comes first."""
    for template in sorted(DOCUMENT["paths"], key=lambda t: "{" in t):
        pattern = re.escape(template).replace(r"\{id\}", "[^/]+")
        if re.fullmatch(pattern, path) and method in DOCUMENT["paths"][template]:
            return template, DOCUMENT["paths"][template][method]
    raise AssertionError(f"{method} {path} is not described")


def parameters(method: str, path: str) -> dict[str, dict[str, Any]]:
    """Name → schema."""
    return {p["name"]: p["schema"] for p in DOCUMENT["paths"][path][method]["parameters"]}


def check(schema: dict[str, Any], value: object) -> None:
    """The value is what a schema of the document says."""
    whole = {**schema, "components": DOCUMENT["components"]}
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def as_described(answer: httpx.Response) -> httpx.Response:
    """The answer, whose status, type, body and headers are described."""
    request = answer.request
    template, operation = described(request.method.lower(), request.url.path)
    where = f"{request.method} {template} {answer.status_code}: {answer.text[:200]!r}"
    response = operation["responses"].get(str(answer.status_code))
    assert response, where
    if "content" in response:
        content = response["content"][answer.headers["content-type"]]
        schema = content.get("schema", {})
        if "contentSchema" in schema:
            for line in answer.text.splitlines():
                check(schema["contentSchema"], json.loads(line))
        elif schema:
            check(schema, answer.json())
    else:
        assert not answer.content, where
    if answer.status_code >= 400:
        assert answer.json()["error"]["code"] in response["description"].split(", "), where
    telling = {name.lower() for name in DOCUMENT["components"]["headers"]}
    told = {name.lower() for name in response.get("headers", {})}
    assert telling & set(answer.headers) <= told, where
    return answer


def test_every_reference_leads_somewhere() -> None:
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT))
    assert references
    for reference in references:
        root, components, kind, name = reference.split("/")
        assert (root, components) == ("#", "components")
        assert name in DOCUMENT["components"][kind]


def test_every_schema_is_json_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for _, _, operation in operations():
        for parameter in operation["parameters"]:
            Draft202012Validator.check_schema(parameter["schema"])


def test_operations_are_told_apart_and_have_a_known_tag() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z_]+", one) for one in ids)
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    told = [item["post"] for item in DOCUMENT["webhooks"].values()]
    listed = [*(operation for _, _, operation in operations()), *told]
    assert {tag for operation in listed for tag in operation["tags"]} == tags


def test_parameters_of_paths_are_declared_once_and_required() -> None:
    for _, path, operation in operations():
        listed = [(p["in"], p["name"]) for p in operation["parameters"]]
        assert len(set(listed)) == len(listed)
        inside = {name for where, name in listed if where == "path"}
        assert inside == set(re.findall(r"{(\w+)}", path))
        assert all(p["required"] for p in operation["parameters"] if p["in"] == "path")


def test_every_operation_can_succeed_and_can_break() -> None:
    deferred = ("/generate", "/edit", "/three_d")
    for _, path, operation in operations():
        statuses = set(operation["responses"])
        assert "500" in statuses, path
        succeeded = {s for s in statuses if s.startswith("2")}
        assert succeeded == {"200", "202"} if path in deferred else len(succeeded) == 1, path


def test_what_callers_can_reach_is_described_and_nothing_else() -> None:
    ours = {"studio", "provider_webhook", "run_request", "batch_callback", "on_upload", "sweep"}
    deployed = set(main.FUNCTIONS)
    assert {path.split("/")[1] for path in DOCUMENT["paths"]} == deployed - ours
    for name in deployed - ours - {"openai", "gemini"}:
        served = importlib.import_module(f"functions.{name}").APP
        paths = {route.path.removesuffix("/") for mount in served.routes if mount.path == f"/{name}"
                 for route in getattr(mount, "routes", [])}  # fmt: skip
        described = {
            p.removeprefix(f"/{name}") for p in DOCUMENT["paths"] if p.split("/")[1] == name
        }
        assert paths == described, name


def test_an_operation_lists_the_errors_it_can_give_and_no_others() -> None:
    def refusals(method: str, path: str) -> set[int]:
        responses = DOCUMENT["paths"][path][method]["responses"]
        return {int(status) for status in responses if status >= "400"}

    work = {400, 401, 402, 404, 409, 410, 413, 422, 429, 500, 502, 503, 504}
    assert refusals("post", "/generate") == work
    assert refusals("post", "/edit") == work | {415}
    assert refusals("post", "/three_d") == work - {409} | {415}
    assert refusals("post", "/batch") == {400, 401, 402, 404, 413, 422, 429, 500, 503}
    assert refusals("get", "/batch/{id}/results") == {401, 404, 500}
    assert refusals("get", "/models") == {400, 500}
    assert refusals("get", "/models/{id}") == {404, 500}
    assert refusals("post", "/models/estimate") == {400, 404, 410, 413, 500}
    assert refusals("get", "/account") == {401, 500}
    assert refusals("get", "/account/images/{id}") == {401, 403, 404, 500}
    assert refusals("put", "/account/uploads/{id}") == {400, 403, 413, 429, 500, 503}
    together = {status for method, path, _ in operations() for status in refusals(method, path)}
    assert together == {error.status for error in errors.every()}


def test_every_field_of_an_answer_is_always_there() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if not name.endswith("Body") or name == "ErrorBody":
            assert set(schema["required"]) == set(schema["properties"]), name


def test_codes_of_errors_are_all_there_are() -> None:
    body = DOCUMENT["components"]["schemas"]["ErrorBody"]
    codes = {error.code for error in errors.every()}
    assert set(body["properties"]["code"]["enum"]) == codes | {"partially_blocked"}


def test_waiting_and_replays_are_told_in_headers() -> None:
    for _, path, operation in operations():
        for status, response in operation["responses"].items():
            headers = set(response.get("headers", {}))
            assert ("Retry-After" in headers) == (status in ("409", "429", "503"))
            ours = {"x-request-id", "Idempotent-Replayed"}
            requests = path in ("/generate", "/edit", "/three_d")
            assert ours <= headers if requests else not ours & headers
            assert ("Location" in headers) == (status == "202")
            assert ("Preference-Applied" in headers) == (status == "202" and requests)


def test_only_public_operations_need_no_key() -> None:
    schemes: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {"googApiKey": []}]
    assert {name for scheme in schemes for name in scheme} == set(
        DOCUMENT["components"]["securitySchemes"]
    )
    for method, path, operation in operations():
        public = path.startswith("/models") or method == "put"
        by_link = path == "/account/images/{id}"
        assert operation["security"] == ([] if public else [{}] * by_link + schemes), path


def test_query_parameters_say_what_the_functions_take() -> None:
    requests = parameters("get", "/account/requests")
    assert requests["limit"] == {
        "type": "integer", "minimum": 1, "maximum": account.MAX_LISTED, "default": 20,
    }  # fmt: skip
    assert requests["status"]["enum"] == ["queued", "running", "succeeded", "failed", "cancelled"]
    assert requests["cursor"]["maxLength"] and requests["operation"]["enum"]
    usage = parameters("get", "/account/usage")
    assert usage["from"] == usage["to"] == {"type": "string", "format": "date"}
    assert usage["group_by"]["enum"] == ["day", "model", "provider"]
    models = parameters("get", "/models")
    assert {models[name]["type"] for name in ("seed", "mask", "batch")} == {"boolean"}
    assert models["sort"]["enum"] == ["price", "speed"]
    key = parameters("post", "/generate")["Idempotency-Key"]
    assert (key["minLength"], key["maxLength"]) == (1, http.MAX_KEY_LENGTH)
    deferring = {
        path for _, path, o in operations() for p in o["parameters"] if p["name"] == "Prefer"
    }
    assert deferring == {"/generate", "/edit"}
    batches = parameters("get", "/batch")
    assert (batches["limit"]["maximum"], set(batches)) == (batch.MAX_LISTED, {"limit", "cursor"})


def test_items_of_a_batch_have_the_fields_that_are_described() -> None:
    item = DOCUMENT["components"]["schemas"]["BatchItemBody"]
    whole = {"custom_id": "a", "prompt": "x", "n": 1, "images": [{"image_id": "img_a_0"}]}
    check(item, whole)
    parse = batch_lines.native({}, {})
    assert parse(json.dumps(whole).encode()).request.operation == "edit"
    for name in set(EditBody.model_fields) - set(whole):
        fields = {**whole, name: None}
        if name in item["properties"]:
            parse(json.dumps(fields).encode())
            continue
        with pytest.raises(errors.InvalidRequest) as refused:
            parse(json.dumps(fields).encode())
        assert refused.value.param == name
    defaults = DOCUMENT["components"]["schemas"]["BatchDefaultsBody"]["properties"]
    assert set(defaults) == set(item["properties"]) - {"custom_id", *NOT_OF_DEFAULTS}


def test_an_edit_in_parts_has_every_field_and_its_files() -> None:
    content = DOCUMENT["paths"]["/edit"]["post"]["requestBody"]["content"]
    parts = content["multipart/form-data"]["schema"]["properties"]
    assert set(parts) == set(EditBody.model_fields) | {"image", "image[]"}
    binary = {"type": "string", "format": "binary"}
    assert parts["image"]["items"] == parts["image[]"]["items"] == binary
    assert binary.items() <= parts["mask"].items()


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        (method, path, parameter["name"])
        for method, path, operation in operations()
        for parameter in operation["parameters"]
        if parameter["in"] == "query" and "enum" in parameter["schema"]
    ],
)
def test_words_of_the_description_are_taken_and_others_refused(
    tmp_path: Path, method: str, path: str, name: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        for word in parameters(method, path)[name]["enum"]:
            assert as_described(await darkroom.get(path, **{name: word})).status_code == 200
        assert as_described(await darkroom.get(path, **{name: "other"})).status_code == 400

    play(tmp_path, story)


def test_answers_about_the_catalogue_are_as_described(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        for path in (
            *("/models", "/models/nano-banana-pro", "/models/none", "/models/openapi.json"),
            *("/models/templates", "/models/templates?name=logo"),
        ):
            as_described(await darkroom.client.get(path))
        retired = {"model": "imagen-4.0-generate-001"}
        bodies: list[dict[str, Any]] = [{"count": 3}, {"model": "none"}, retired, {"n": 0}]
        for asked in bodies:
            as_described(await darkroom.client.post("/models/estimate", json=asked))

    play(tmp_path, story)


def test_answers_to_work_are_as_described(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        faults = ("blocked", "no_image", "rate_limited", "unavailable", "not_json")
        changes: list[dict[str, Any]] = [
            {},
            {"n": 0},
            {"model": "none"},
            {"model": "imagen-4.0-generate-001"},
            {"prompt": "x" * 900_000},
            *({"prompt": f"a cup [sandbox:{fault}]"} for fault in faults),
        ]
        statuses = set()
        for change in changes:
            answer = await darkroom.post("/generate", {**CUP, **change})
            statuses.add(as_described(answer).status_code)
        assert statuses >= {200, 400, 404, 410, 413, 422, 429, 502, 503}
        as_described(await darkroom.post("/generate", CUP, key="dk_test_of_nobody"))
        for _ in range(2):
            again = as_described(await darkroom.post("/generate", CUP, idempotency_key="one"))
        assert again.headers["idempotent-replayed"] == "true"
        other = {**CUP, "prompt": "a saucer"}
        as_described(await darkroom.post("/generate", other, idempotency_key="one"))

    play(tmp_path, story)


def test_answers_of_a_live_provider_are_as_described(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        poor, rich = await darkroom.live_key(usd=0), await darkroom.live_key()
        assert as_described(await darkroom.post("/generate", CUP, key=poor)).status_code == 402
        for status in (422, 400, 200):
            answer = as_described(await darkroom.post("/generate", CUP, key=rich))
            assert answer.status_code == status, answer.text
        ledger = as_described(await darkroom.get("/account/ledger", key=rich))
        assert {entry["kind"] for entry in ledger.json()["data"]} == {"grant", "charge"}

    refused = refusal(400, "INVALID_ARGUMENT", "no such thing")
    play(tmp_path, story, withheld(), refused, picture())


def test_an_edit_in_parts_is_answered_as_described(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        async def send(kind: str, data: bytes, **texts: str) -> httpx.Response:
            files = [("image", ("a", data, kind)), ("mask", ("m.png", mask(), "image/png"))]
            fields = {**CUP, "n": "1", "metadata": '{"a": "b"}', **texts}
            return as_described(
                await darkroom.client.post("/edit", data=fields, files=files, headers=AUTH)
            )

        assert (await send("image/jpeg", photo())).status_code == 200
        assert (await send("image/jpeg", photo(), n="{")).status_code == 400
        assert (await send("image/gif", b"GIF89a")).status_code == 415

    play(tmp_path, story)


def test_answers_about_an_account_are_as_described(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = (await darkroom.post("/generate", {**CUP, "metadata": {"a": "b"}})).json()
        own = f"/account/requests/{made['id']}"
        image = f"/account/images/{made['images'][0]['id']}"
        for path in ("/account", "/account/requests", "/account/usage", "/account/ledger", own):
            assert as_described(await darkroom.get(path)).status_code == 200
            assert as_described(await darkroom.client.get(path)).status_code == 401
        as_described(await darkroom.get("/account/requests", limit="101"))
        as_described(await darkroom.get("/account/requests", model="none"))
        as_described(await darkroom.get("/account/usage", **{"from": "yesterday"}))
        as_described(await darkroom.get("/account/ledger", cursor="none"))
        as_described(await darkroom.post(f"{own}/cancel", {}))
        assert as_described(await darkroom.get(image)).status_code == 200
        link = await darkroom.client.get(made["images"][0]["url"])
        assert as_described(link).status_code == 200
        assert as_described(await darkroom.client.get(image)).status_code == 401
        unsigned = await darkroom.client.get(image, params={"signature": "x"})
        assert as_described(unsigned).status_code == 403
        for status in (200, 404):
            deleted = await darkroom.client.delete(own, headers=AUTH)
            assert as_described(deleted).status_code == status
        assert as_described(await darkroom.get(image)).status_code == 404

    play(tmp_path, story)


@pytest.mark.pictures
def test_what_is_made_later_is_answered_as_described(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        model = {"model": "trellis-2", "images": [{"b64_json": b64encode(photo()).decode()}]}
        asked: list[tuple[str, dict[str, Any]]] = [("/generate", CUP), ("/three_d", model)]
        for path, body in asked:
            sent = {"prefer": "respond-async", "idempotency_key": path}
            later = as_described(await darkroom.post(path, body, **sent))
            assert later.status_code == 202, later.text
            for _ in range(20):
                await darkroom.deliver()
                found = as_described(await darkroom.get(later.headers["location"])).json()
                if found["completed_at"]:
                    break
                darkroom.pass_time(timedelta(minutes=1))
                await sweep.sweep(darkroom.app, darkroom.now)
            assert found["status"] == "succeeded", found
            [made] = found["images"] or found["assets"]
            assert as_described(await darkroom.client.get(made["url"])).status_code == 200
            again = as_described(await darkroom.post(path, body, **sent))
            assert again.status_code == 200
        wrong = as_described(await darkroom.post("/three_d", {**model, "images": []}))
        assert wrong.status_code == 400
        queued = as_described(await darkroom.post("/generate", CUP, prefer="respond-async"))
        for location, status in (
            (queued.headers["location"], 200),
            (later.headers["location"], 400),
        ):
            cancelled = await darkroom.post(f"{location}/cancel", {})
            assert as_described(cancelled).status_code == status

    play(tmp_path, story)


@pytest.mark.pictures
def test_answers_about_batches_are_as_described(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        model = {"model": "nano-banana-pro", "mode": "fanout"}
        items = [
            {"custom_id": "a", "prompt": "a cup"},
            {"custom_id": "b", "prompt": "a cup [sandbox:blocked]"},
        ]
        bad: list[dict[str, Any]] = [{"items": [{"prompt": "a"}]}, {"items": []}]
        for change in (*bad, {"upload_id": "upl_none"}):
            refused = as_described(await darkroom.post("/batch", {**model, **change}))
            assert refused.status_code in (400, 404)
        sent = {"idempotency_key": "one"}
        taken = as_described(await darkroom.post("/batch", {**model, "items": items}, **sent))
        other = {**model, "items": items[:1]}
        assert as_described(await darkroom.post("/batch", other, **sent)).status_code == 422
        own = taken.headers["location"]
        assert as_described(await darkroom.get(f"{own}/results")).text == ""
        await darkroom.deliver()
        assert as_described(await darkroom.get(own)).json()["counts"]["failed"] == 1
        results = as_described(await darkroom.get(f"{own}/results"))
        assert len(results.text.splitlines()) == 2
        as_described(await darkroom.get("/batch"))
        as_described(await darkroom.get("/batch", limit="101"))
        assert as_described(await darkroom.post(f"{own}/cancel", {})).status_code == 400
        assert as_described(await darkroom.get("/batch/bat_none")).status_code == 404
        next_one = as_described(await darkroom.post("/batch", other)).headers["location"]
        assert as_described(await darkroom.post(f"{next_one}/cancel", {})).status_code == 200

    play(tmp_path, story)


def test_the_surfaces_refuse_as_described(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        for path, template in (
            ("/openai/v1/images/generations", "/openai/v1/images/generations"),
            ("/gemini/v1/models/x:predict", "/gemini/{version}/models/{model}:predict"),
        ):
            answer = await darkroom.client.post(path, json={}, headers=AUTH)
            responses = DOCUMENT["paths"][template]["post"]["responses"]
            content = responses[str(answer.status_code)]["content"]
            check(content["application/json"]["schema"], answer.json())

    play(tmp_path, story)


def test_uploads_are_as_described(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        data = photo()
        wanted = {"filename": "a.jpg", "content_type": "image/jpeg", "bytes": len(data)}
        as_described(await darkroom.post("/account/uploads", {"filename": ""}))
        leave = as_described(await darkroom.post("/account/uploads", wanted)).json()
        link = urlsplit(leave["url"])
        required = {n for n in parameters("put", "/account/uploads/{id}") if n != "id"}
        assert set(httpx.QueryParams(link.query)) == required
        headers = leave["headers"]
        forged = await darkroom.client.put(leave["url"] + "x", content=data, headers=headers)
        assert as_described(forged).status_code == 403
        for status in (204, 400):
            sent = await darkroom.client.put(leave["url"], content=data, headers=headers)
            assert as_described(sent).status_code == status

    play(tmp_path, story)
