"""A chat in the browser: tokens as they come, thinking apart, images, and a stop button.

Run it with `python app.py`, after `pip install replicate-stream fastapi uvicorn`, and open
http://127.0.0.1:8000. The page keeps the conversation and sends all of it with each question; the
response is a line of JSON for each event. The stop button closes that response, as a closed tab
does, and `cancel_on_exit` then cancels the prediction. Nobody logs in here: whoever reaches the
port spends your money.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from replicate_stream import (
    Client,
    Finished,
    ReasoningDelta,
    ReplicateError,
    StatusChanged,
    TextDelta,
    cancel_on_exit,
)

MODEL = os.environ.get("CHAT_MODEL", "meta/meta-llama-3-70b-instruct")
STATIC = Path(__file__).with_name("static")
# Nothing else runs and loads, whatever a model writes; `data:` is for the image of the user.
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"


class Turn(BaseModel):
    """A message of the conversation. An image is a `data:` URL: no address that others choose."""

    role: Literal["user", "assistant"]
    text: str
    image: Annotated[str, Field(pattern=r"^data:image/(png|jpeg|webp|gif);base64,")] | None = None

    def to_message(self) -> dict[str, Any]:
        """Return it as the client takes messages."""
        if self.image is None:
            return {"role": self.role, "content": self.text}
        image = {"type": "image_url", "image_url": {"url": self.image}}
        return {"role": self.role, "content": [image, {"type": "text", "text": self.text}]}


class Conversation(BaseModel):
    """What the page sends: all messages so far, the question last."""

    turns: Annotated[list[Turn], Field(min_length=1, max_length=200)]


async def answer(client: Client, conversation: Conversation) -> AsyncIterator[str]:
    """Yield the events of an answer, each as a line of JSON."""
    messages = [turn.to_message() for turn in conversation.turns]
    try:
        async with client.stream(MODEL, messages, coalesce=True) as events:
            async for event in events:
                match event:
                    case TextDelta(text):
                        yield to_line("text", text)
                    case ReasoningDelta(text):
                        yield to_line("thinking", text)
                    case StatusChanged(status):
                        yield to_line("status", status)
                    case Finished(reason):
                        yield to_line("finished", reason)
    except ReplicateError as error:  # the response has begun: its status can no longer say so
        yield to_line("error", str(error))


def to_line(kind: str, text: str) -> str:
    """Return an event as a line of JSON."""
    return json.dumps({"kind": kind, "text": text}) + "\n"


@asynccontextmanager
async def open_client(app: FastAPI) -> AsyncIterator[None]:
    """Have one client for all requests, so that they share its connections."""
    async with Client() as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=open_client)
app.mount("/static", StaticFiles(directory=STATIC))


@app.get("/")
async def show_page() -> FileResponse:
    """Return the page."""
    return FileResponse(STATIC / "index.html", headers={"Content-Security-Policy": POLICY})


@app.post("/chat")
async def chat(request: Request, conversation: Conversation) -> StreamingResponse:
    """Answer the conversation, in lines of JSON; the prediction ends with the response."""
    events = cancel_on_exit(answer(request.app.state.client, conversation))
    return StreamingResponse(events, media_type="application/x-ndjson")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=8000)
