"""The page of examples/web_chat in a real browser.

With PICTURES set to a folder, the picture of the documentation is written to it:
`PICTURES=docs/images python -m pytest tests/real/test_web_chat.py -k shows`.
"""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.async_api import FilePayload, Page, async_playwright, expect

from replicate_stream.testing import Emulator, Fault

PROGRAMS = ("chromium", "google-chrome", "chromium-browser")
HOSTILE = """
<img src=x onerror="document.title = 'hacked'"><script>document.title = 'hacked'</script>
[click](javascript:document.title='hacked') ![image](https://example.org/leak?q=secret)
`</code><b>no</b>` **<b>no</b>** [<b>no</b>](https://example.org/"onmouseover="x)
"""
ANSWER = """<think>The sky is a question of scattering. I compare two wavelengths.</think>
The sky is blue since air scatters **blue light** more than red light:

1. The strength goes with `1 / wavelength^4`.
2. Blue is at 450 nm, red at 700 nm.

```python
print((700 / 450) ** 4)  # 5.86
```

See [Rayleigh scattering](https://en.wikipedia.org/wiki/Rayleigh_scattering)."""


def make_picture(width: int = 160, height: int = 90) -> bytes:
    """Return a PNG of a sky, which is darker at the top."""
    rows = [bytes([0, *(bytes([60 + y, 120 + y, 230]) * width)]) for y in range(height)]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@pytest.fixture
async def page(skip_or_fail: Callable[[str], NoReturn], web_chat: str) -> AsyncIterator[Page]:
    """The page of the chat, open in Chromium; nothing on it may have failed in the end."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        skip_or_fail("needs Chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program)
        page = await browser.new_page(viewport={"width": 720, "height": 600})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        await page.goto(web_chat)
        yield page
        await browser.close()
        assert errors == []


async def ask(page: Page, question: str) -> None:
    await page.locator("#question").fill(question)
    await page.locator("#question").press("Enter")


async def test_the_page_shows_the_first_words_before_the_last_are_written(
    page: Page, endless_answer: Any
) -> None:
    await ask(page, "Why is the sky blue?")
    await expect(page.locator(".answer")).to_contain_text("word word")
    await expect(page.locator("#stop")).to_be_visible()
    endless_answer.is_stopped = True  # it would write for ever
    await expect(page.locator("#send")).to_be_visible()
    text = await page.locator(".answer").inner_text()
    assert text.split() == ["word"] * endless_answer.count


async def test_the_stop_button_cancels_the_prediction_and_keeps_what_was_said(
    page: Page, endless_answer: Any, replicate_emulator: Emulator
) -> None:
    await ask(page, "Why is the sky blue?")
    await expect(page.locator(".answer")).to_contain_text("word word")
    await page.locator("#stop").click()
    await expect(page.locator(".note")).to_have_text("stopped")
    await replicate_emulator.wait_for_async(lambda emulator: emulator.cancels)
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)
    replicate_emulator.reply = "Yes."
    await ask(page, "Really?")
    await expect(page.locator(".answer").last).to_have_text("Yes.")
    last = list(replicate_emulator.predictions.values())[-1]
    before, _, after = last.input["prompt"].partition("word word")
    assert "Why is the sky blue?" in before
    assert "Really?" in after


async def test_a_closed_tab_cancels_the_prediction(
    page: Page, endless_answer: Any, replicate_emulator: Emulator
) -> None:
    await ask(page, "Why is the sky blue?")
    await expect(page.locator(".answer")).to_contain_text("word word")
    await page.close()
    await replicate_emulator.wait_for_async(lambda emulator: emulator.cancels)
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)


async def test_an_error_is_shown_and_the_next_question_is_answered(
    page: Page, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="create", status=402))
    await ask(page, "Why is the sky blue?")
    await expect(page.locator(".note.error")).to_contain_text("402")
    replicate_emulator.reply = "Air scatters blue light."
    await ask(page, "Why?")
    await expect(page.locator(".answer").last).to_have_text("Air scatters blue light.")


async def test_html_of_a_model_is_shown_as_text(page: Page, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = HOSTILE
    await ask(page, "Hi")
    answer = page.locator(".answer")
    await expect(page.locator("#send")).to_be_visible()
    await expect(answer).to_contain_text("<img src=x onerror=")
    await expect(answer.locator("code")).to_have_text("</code><b>no</b>")
    assert await answer.locator("img, script, b, [onmouseover]").count() == 0
    links = answer.locator("a")
    addresses = [await link.get_attribute("href") for link in await links.all()]
    assert all(str(address).startswith("https://example.org/") for address in addresses)
    assert await page.title() == "Chat"


async def test_the_page_shows_markdown_the_thoughts_apart_and_the_image(
    page: Page, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.reply = ANSWER
    picture = FilePayload(name="sky.png", mimeType="image/png", buffer=make_picture())
    await page.locator("#image").set_input_files(picture)
    await ask(page, "Why is the sky on my photo blue?")
    answer = page.locator(".answer")
    await expect(answer.locator("a")).to_have_text("Rayleigh scattering")
    await expect(answer.locator("strong")).to_have_text("blue light")
    await expect(answer.locator("ol > li")).to_have_count(2)
    await expect(answer.locator("pre")).to_have_text("print((700 / 450) ** 4)  # 5.86")
    await expect(answer).not_to_contain_text("wavelengths.")
    thinking = page.locator(".thinking")
    await expect(thinking.locator("p")).to_be_hidden()  # folded once the answer has begun
    await thinking.locator("summary").click()
    await expect(thinking.locator("p")).to_contain_text("I compare two wavelengths.")
    await expect(page.locator(".user img")).to_be_visible()
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["image"].startswith("data:image/png;base64,")
    await page.screenshot(path=Path(os.environ.get("PICTURES", tmp_path)) / "web-chat.png")
