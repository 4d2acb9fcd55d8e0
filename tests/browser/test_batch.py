"""Batch: a sheet checked and priced before it is sent, watched while it is made, and taken home."""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

from tests.browser.studio import Studio, on_both, text_file

pytestmark = pytest.mark.browser
MODEL = "gemini-nano-banana-2.1"
READ = 'async (text) => (await import("/studio/sheet.js")).read(text)'
SEEN = """(bar) => {
  globalThis.seen = [];
  new MutationObserver(() => globalThis.seen.push(bar.value)).observe(bar, {attributes: true});
}"""

FAT = """(field) => {
  const data = new DataTransfer();
  const line = (n) => JSON.stringify({ custom_id: `${n}`, prompt: "cup ".repeat(100_000) }) + "\\n";
  data.items.add(new File(Array.from({ length: 84 }, (_, n) => line(n)), "fat.jsonl"));
  const options = { bubbles: true, cancelable: true, dataTransfer: data };
  field.dispatchEvent(new DragEvent("drop", options));
}"""
"""Drops 33 MB."""


@pytest.fixture
def page(studio: Studio) -> Page:
    """The part, with its models loaded."""
    studio.go("batch")
    page = studio.page
    expect(page.locator("#batch .cards :checked")).to_have_value(MODEL)
    return page


def put(page: Page, text: str) -> None:
    """Write items."""
    page.get_by_label("Items", exact=True).fill(text)


def begun(page: Page, count: int) -> Locator:
    """Start what was written: the batch as the list shows it."""
    page.get_by_role("button", name=f"Start batch of {count}", exact=True).click()
    card = page.locator("#batch article").first
    expect(card.locator("h3")).to_be_focused()
    return card


def downloaded(card: Locator, button: str, folder: Path) -> Path:
    """The file that a button of a batch hands out."""
    with card.page.expect_download() as download:
        card.get_by_role("button", name=button).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def unsigned(results: list[str]) -> list[str]:
    """Lines of results without the signatures of their links, which are of the moment."""
    return [re.sub(r'\?[^"]*', "", line) for line in results]


def wrong(page: Page) -> list[list[str]]:
    """The rows of what is wrong."""
    rows = page.locator("#batch tbody tr")
    expect(rows.first).to_be_visible()
    return [row.locator("td").all_inner_texts() for row in rows.all()]


def sheet(page: Page, text: str) -> dict[str, Any]:
    """What a text is read as."""
    read: dict[str, Any] = page.evaluate(READ, text)
    return read


def test_twenty_are_priced_watched_and_taken_home(
    studio: Studio, page: Page, tmp_path: Path
) -> None:
    fate = {3: " [sandbox:blocked]", 7: " [sandbox:slow=2]", 8: " [sandbox:slow=2.5]"}
    rows = [f'cup-{n},"A cup, number {n}{fate.get(n, "")}",1:1' for n in range(18)]
    put(page, "\n".join(["custom_id,prompt,aspect_ratio", *rows, "a/b,A cup,1:1", "A?B,A jar,1:1"]))
    page.get_by_text("One call each", exact=True).click()
    asked = {"model": MODEL, "aspect_ratio": "1:1", "count": 20}
    routes = page.request.post(f"{studio.url}/models/estimate", data=asked).json()["routes"]
    google = next(route for route in routes if route["provider"] == "google")
    now, batch = (f"${float(google[f'{name}total_usd']):.3f}" for name in ("", "batch_"))
    expect(page.locator("#batch .estimate")).to_have_text(f"About {now}, free with a test key")
    expect(page.locator("#batch")).to_contain_text(
        f"One call each: {now}. In providers' batches: {batch}."
    )

    card = begun(page, 20)
    card.locator("progress").evaluate(SEEN)
    expect(card.locator(".counts")).to_have_text("Done: 19 of 20 made, 1 failed")
    assert any(0 < count < 20 for count in page.evaluate("seen"))
    expect(page.locator("#said")).to_contain_text("The batch has ended.")
    expect(card.locator(".thumbs img")).to_have_count(19)
    expect(card.locator(".thumbs .wrong")).to_contain_text("cup-3 The provider blocked")

    results = downloaded(card, "Download results", tmp_path).read_text().splitlines()
    ids = {json.loads(line)["custom_id"] for line in results}
    assert ids == {f"cup-{n}" for n in range(18)} | {"a/b", "A?B"}
    with zipfile.ZipFile(downloaded(card, "Download pictures", tmp_path)) as packed:
        assert packed.testzip() is None
        names = {n for n in packed.namelist() if n.endswith(".jpg")}
        assert len(names) == 19
        assert {n.lower() for n in names} - {f"cup-{n}.jpg" for n in range(18)} == {
            "a_b.jpg",
            "a_b~2.jpg",
        }
        assert set(packed.namelist()) - names == {"results.jsonl", "failed.txt"}
        assert unsigned(packed.read("results.jsonl").decode().splitlines()) == unsigned(results)
        assert packed.read("failed.txt").decode().startswith("cup-3\tThe provider blocked")
        with Image.open(io.BytesIO(packed.read("cup-5.jpg"))) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("JPEG", (1024, 1024))

    page.reload()
    expect(page.locator("#batch article .counts")).to_have_text("Done: 19 of 20 made, 1 failed")


def test_bad_lines_are_told_of_before_anything_is_sent(page: Page) -> None:
    page.on("request", lambda sent: pytest.fail(sent.url) if sent.url.endswith("/batch") else None)
    put(
        page,
        "\n".join(
            [
                '{"custom_id": "a", "prompt": "A cup"}',
                '{"custom_id": "a", "prompt": "A jar", "aspect_ratio": "7:5"}',
                '{"custom_id": "b", "prompt"',
                '{"prompt": " ", "n": 99, "webhook_url": "https://example.com"}',
                '{"custom_id": "c", "prompt": "A cup", "model": "nano-bananas", "size": 3}',
                '{"custom_id": "d", "prompt": "A cup", "images": "zz", "mask": "zz"}',
                '{"custom_id": "e", "prompt": "A cup", "model": null}',
            ]
        ),
    )
    told = wrong(page)
    assert [row[0] for row in told] == ["2", "2", "3", "4", "4", "4", "4", "5", "5", "6", "6"]
    assert told[0][1:] == ["The custom_id a is in line 1 already.", "Another name, such as a-2"]
    assert told[1][1] == 'Nano Banana 2.1 has no aspect_ratio "7:5".'
    assert told[1][2].startswith("One of 1:1, 2:3, ")
    assert told[2][1].startswith("This is not JSON: ")
    assert [row[1] for row in told[3:7]] == [
        "There is no custom_id.",
        "The prompt is empty, or no text.",
        "An item has no webhook_url.",
        "n is 99.",
    ]
    assert told[7][1] == "There is no field size."
    assert told[8][1:] == ["There is no model nano-bananas.", told[8][2]]
    assert "nano-banana" in told[8][2]
    assert [row[1] for row in told[9:]] == ["images is no list of objects.", "mask is no object."]
    expect(page.get_by_role("button", name="Start batch")).to_be_disabled()

    page.get_by_role("button", name="Go to line 3").click()
    items = page.get_by_label("Items", exact=True)
    expect(items).to_be_focused()
    chosen = items.evaluate(
        "(field) => field.value.slice(field.selectionStart, field.selectionEnd)"
    )
    assert chosen == '{"custom_id": "b", "prompt"'


def test_what_no_provider_can_do_is_told_of_by_line(page: Page) -> None:
    put(page, "custom_id,prompt,model\na,A cup,\nb,A cup,gpt-image-2.6-flare\n")
    page.get_by_text("Provider's batch", exact=True).click()
    assert wrong(page) == [
        ["3", "GPT Image 2.6 Flare is in no provider's batch.", "Other settings or another model"]
    ]
    put(page, 'custom_id,prompt,options\n\na,A cup,"{""temperature"": 99}"\n')
    expect(page.locator("#batch tbody tr")).to_contain_text(
        "Not with these settings: options.temperature"
    )
    [[line, message, _]] = wrong(page)
    assert line == "3" and "takes a number from" in message


def test_the_servers_refusal_is_told_of_by_line(studio: Studio, page: Page) -> None:
    studio.expects(400)
    good = '{"custom_id": "a", "prompt": "A cup"}'
    bad = '{"custom_id": "b", "prompt": "A cup", "images": [{"b64_json": "AAAA"}]}'
    put(page, f"\n{good}\n\n{bad}")
    page.get_by_role("button", name="Start batch of 2").click()
    heading = page.get_by_role("heading", name="The server refused 1 of the items.")
    expect(heading).to_be_focused()
    [[line, message, right]] = wrong(page)
    assert line == "4" and "image" in message and right == "Change images[0]"
    expect(page.locator("#batch article")).to_have_count(0)


def test_one_is_cancelled_once_that_is_confirmed(page: Page) -> None:
    put(page, "A cup [sandbox:slow=60]\nA jar")
    card = begun(page, 2)
    expect(card.locator(".counts")).to_have_text("Being made: 0 of 2 made")
    cancel = card.get_by_role("button", name="Cancel")
    cancel.click()
    page.get_by_role("button", name="Keep it going").click()
    expect(cancel).to_be_focused()

    # The server looks for the end of its provider's batch every five seconds: nobody waits here.
    gone = {"status": "cancelled", "cancelling": False, "completed_at": "2030-01-01T00:00:00Z"}
    counts = {"total": 2, "succeeded": 0, "failed": 0, "cancelled": 2}
    ended = threading.Event()

    def look(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        assert told["cancelling"]
        route.fulfill(json={**told, **gone, "counts": counts} if ended.is_set() else told)

    page.route("**/batch/bat_*", look)
    cancel.click()
    page.get_by_role("button", name="Cancel the batch").click()
    expect(card.locator(".counts")).to_have_text("Being cancelled: 0 of 2 made")
    expect(cancel).to_be_disabled()
    expect(card.locator("h3")).to_be_focused()
    ended.set()
    expect(card.locator(".counts")).to_have_text("Cancelled: 0 of 2 made, 2 cancelled")
    expect(cancel).to_be_hidden()


def test_an_answer_that_is_lost_makes_no_second_batch(page: Page) -> None:
    keys: list[str | None] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.header_value("idempotency-key"))
        answer = route.fetch()
        if len(keys) <= 3:
            route.abort("aborted")
        else:
            route.fulfill(response=answer)

    page.route("**/batch", lose)
    put(page, "A cup [sandbox:blocked]")
    start = page.get_by_role("button", name="Start batch of 1")
    start.click()
    doubt = page.locator("#batch .problem")
    expect(doubt).to_contain_text("does not answer")
    price = page.locator("#batch .estimate").inner_text()
    page.get_by_text("One call each", exact=True).click()
    expect(page.locator("#batch .estimate")).not_to_have_text(price)
    page.get_by_text("Automatic", exact=True).click()
    expect(page.locator("#batch .estimate")).to_have_text(price)
    page.get_by_role("button", name="Look in the list").click()
    expect(page.get_by_role("heading", name="Your batches")).to_be_focused()
    expect(page.locator("#batch article")).to_have_count(1)
    expect(doubt).to_have_count(0)
    start.click()
    expect(page.locator("#said")).to_have_text("The batch has started.")
    expect(page.locator("#batch article")).to_have_count(1)
    assert len(keys) == 4 and len(set(keys)) == 1 and keys[0]


def test_one_batch_is_sent_at_a_time(page: Page) -> None:
    held: list[Route] = []
    page.route(
        "**/batch", lambda r: held.append(r) if r.request.method == "POST" else r.continue_()
    )
    put(page, "A cup [sandbox:blocked]")
    page.get_by_role("button", name="Start batch of 1").click()
    sending = page.get_by_role("button", name="Sending…")
    expect(sending).to_be_disabled()
    put(page, "A jar\nA mug")
    expect(page.locator("#batch .estimate")).to_contain_text("About")
    expect(sending).to_be_disabled()
    page.locator("#batch form").evaluate("(form) => form.requestSubmit()")
    held[0].continue_()
    expect(page.locator("#batch article")).to_have_count(1)
    expect(page.get_by_role("button", name="Start batch of 2")).to_be_enabled()
    expect(page.get_by_label("Items", exact=True)).to_be_focused()
    assert len(held) == 1


def test_older_batches_are_listed_by_the_page(studio: Studio, page: Page) -> None:
    bearer = {"authorization": f"Bearer {studio.key}"}
    for n in range(22):
        items = [{"custom_id": "a", "prompt": "A cup [sandbox:blocked]"}]
        body = {"model": MODEL, "mode": "fanout", "items": items, "metadata": {"name": f"no-{n}"}}
        assert page.request.post(f"{studio.url}/batch", data=body, headers=bearer).ok
    page.reload()
    titles = page.locator("#batch article h3")
    expect(titles).to_have_count(20)
    expect(titles.first).to_have_text(f"no-21 · {MODEL}")
    more = page.get_by_role("button", name="Show older batches")
    more.click()
    expect(titles).to_have_count(22)
    expect(titles.nth(20)).to_be_focused()
    expect(more).to_be_hidden()


def test_a_files_refusal_stays(studio: Studio, page: Page) -> None:
    page.clock.install()
    bad: FilePayload = {"name": "cups.csv", "mimeType": "text/csv", "buffer": b"prompt\n\xfc"}
    page.get_by_label("Or choose a file").set_input_files(bad)
    refusal = page.locator("#batch .problem")
    expect(refusal).to_contain_text("cups.csv is no text in UTF-8.")
    page.clock.run_for(1000)
    expect(refusal).to_contain_text("cups.csv is no text in UTF-8.")


def test_files_are_dropped(studio: Studio, page: Page) -> None:
    items = page.get_by_label("Items", exact=True)
    start = page.get_by_role("button", name="Start batch")
    said = page.locator("#batch .read")
    wide: FilePayload = {
        "name": "cups.txt",
        "mimeType": "text/plain",
        "buffer": "custom_id\tprompt\r\nä\tEine Tasse\r\n".encode("utf-16"),
    }
    studio.drop(page.locator("#batch"), wide)
    expect(said).to_have_text("Read as CSV with tabs: 1 item.")
    expect(items).to_have_value("custom_id\tprompt\nä\tEine Tasse\n")

    studio.drop(items, {**wide, "buffer": b"prompt\n\xff"})
    expect(page.locator("#batch .problem")).to_contain_text("cups.txt is no text in UTF-8.")

    many = "".join(f"A cup, number {n}\n" for n in range(30_000))
    studio.drop(items, text_file("many.txt", many))
    expect(said).to_have_text("Read as a list of prompts: 30,000 items.")
    expect(items).to_be_hidden()
    expect(start).to_have_text("Start batch of 30000")
    page.get_by_role("button", name="Remove").click()
    expect(items).to_be_focused()
    expect(start).to_be_disabled()

    items.evaluate(FAT)
    expect(page.locator("#batch .problem")).to_contain_text("From here 32 MB can be sent")
    expect(start).to_be_disabled()


@on_both
def test_it_is_for_everybody(studio: Studio, page: Page) -> None:
    for name in ("Prompts", "JSONL", "CSV"):
        page.get_by_role("button", name=f"Example: {name}").click()
        if name != "Prompts":
            page.get_by_role("button", name="Replace them").click()
        expect(page.locator("#batch .read")).to_contain_text(": 2 items.")
    page.get_by_text("One call each", exact=True).click()
    card = begun(page, 2)
    expect(card.locator(".thumbs img")).to_have_count(2)
    put(page, "custom_id,prompt\na,\n,A cup\n")
    wrong(page)
    studio.accessible()
    studio.picture("batch")
    studio.picture("batch", "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


SHEETS: list[tuple[str, str, list[tuple[int, str, str]]]] = [
    ("A cup\n\n A jar \r\n", "a list of prompts", [(1, "item-1", "A cup"), (3, "item-2", "A jar")]),
    (
        '\ufeffcustom_id,prompt\r\na,"one, ""two""\r\nthree"\r\n\r\nb,four',
        "CSV with commas",
        [(2, "a", 'one, "two"\r\nthree'), (5, "b", "four")],
    ),
    ("Custom ID;Prompt\na;one, two\n", "CSV with semicolons", [(2, "a", "one, two")]),
    ('sep=;\n"custom_id";"prompt"\na; "b;c" \n', "CSV with semicolons", [(3, "a", "b;c")]),
    ("prompt\tcustom_id\rone\ta\r", "CSV with tabs", [(2, "a", "one")]),
    ("prompt\nA cup\n", "CSV with commas", [(2, "item-1", "A cup")]),
    ('\n{"custom_id":"a","prompt":"x\u2028y"}\r\n', "JSONL", [(2, "a", "x\u2028y")]),
]
PROBLEMS = [
    ('custom_id,prompt\na,b\nc,"d\n', 3, "A quote has no end"),
    ('custom_id,prompt\nc,"d" e\n', 2, "A quote has no end"),
    ("custom_id,prompt\nc,d,e\n", 2, "This has 3 cells, the header 2."),
    ("custom_id,prompt,metadata\n", 1, "There is no field metadata."),
    ("custom_id,prompt\n\n", 1, "This is a header without a row."),
    ("prompt,prompt\n", 1, "The column prompt is there twice."),
    ("prompt,var.x\nA cup,y\n", 2, "Variables go with a template."),
    ("prompt,options\nA cup,hot\n", 2, "options is not JSON."),
    ('[{"prompt": "a"}]', 1, "This is one JSON list."),
    ('{"a": 1}\n"b"\n', 2, "This is JSON, but no object."),
]


def test_sheets_are_read(stranger: Studio) -> None:
    for text, kind, items in SHEETS:
        read = sheet(stranger.page, text)
        found = [
            (i["line"], i["fields"]["custom_id"], i["fields"]["prompt"]) for i in read["items"]
        ]
        assert (read["kind"], found, read["problems"]) == (kind, items, [])
    for text, line, message in PROBLEMS:
        [problem] = sheet(stranger.page, text)["problems"]
        assert problem["line"] == line and problem["message"].startswith(message), text
        assert problem["right"]
    read = sheet(
        stranger.page,
        "custom_id,n,seed,template,var.subject,images,quality,,prompt\n"
        'a,2,007,product-photo,a mug,"[{""url"": ""https://example.com/a.png""}]", high ,,\n',
    )
    assert read["problems"] == []
    assert read["items"][0]["fields"] == {
        "custom_id": "a",
        "n": 2,
        "seed": 7,
        "template": {"name": "product-photo", "variables": {"subject": "a mug"}},
        "images": [{"url": "https://example.com/a.png"}],
        "quality": "high",
    }


def test_a_zip_has_names_that_every_system_takes(stranger: Studio) -> None:
    given = [
        "../../etc/x",
        "CON",
        "nul.a",
        "a:b*c",
        ".",
        "",
        "tail. ",
        "é",
        "É",
        "x" * 255,
        "a\u202eb",
        "a\u200db",
        "COM¹",
        "👩‍🚀",
    ]
    made = stranger.page.evaluate(
        """async (given) => {
          const { Names, Zip } = await import("/studio/zip.js");
          const names = new Names();
          const zip = new Zip();
          const made = given.map((text) => names.of(text, "png"));
          for (const name of made) await zip.add(name, new Blob([name, "!"]));
          const bytes = new Uint8Array(await zip.blob().arrayBuffer());
          return [made, Array.from(bytes)];
        }""",
        [*given, "a", "a", "A", "a~2"],
    )
    names, packed = made[0], bytes(made[1])
    assert len({name.lower() for name in names}) == len(names)
    assert names[0] == "__.._etc_x.png"
    for name in names:
        assert not re.search(r'[\\/:*?"<>|\x00-\x1f\u202e]', name)
        assert not re.match(r"(con|nul|com¹)\b", name, re.I)
        assert not name.startswith(".") and len(name.encode()) <= 200
    assert {"a_b.png", "_COM¹.png", "👩‍🚀.png"} < set(names)
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == names
        assert opened.read("é.png") == "é.png!".encode()


def test_nothing_of_another_server_is_linked(stranger: Studio) -> None:
    made = stranger.page.evaluate(
        """async (urls) => {
          const { thumbs } = await import("/studio/results.js");
          const images = urls.map((url) => ({ id: "img_a", url, width: 1, height: 1 }));
          const made = thumbs({ custom_id: "a", images, status: "succeeded" });
          return made.map((item) => item.querySelector("a, img")?.href ?? null);
        }""",
        [
            "https://elsewhere.example/account/images/img_a?sig=b",
            "https://elsewhere.example/a.png",
            "javascript:alert(1)",
        ],
    )
    assert made == [f"{stranger.url}/account/images/img_a?sig=b", None, None]
