"""Uploaded files: `POST /v1/files` and the record that it answers with."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any

from replicate_stream.testing.server.http import Request, Response, json_response, problem
from replicate_stream.testing.server.prediction import timestamp

if TYPE_CHECKING:
    from replicate_stream.testing.server.state import State

LARGEST = 100 * 1024 * 1024
_DAY = 24 * 3600 * 10**9


def store_file(state: State, request: Request) -> Response:
    """Keep an uploaded file's record for its 24 hours and answer with it."""
    content_type = request.headers.get("content-type", "")
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    form = BytesParser(policy=HTTP).parsebytes(head + request.body)
    parts = {_field(part): part for part in form.iter_parts()} if form.is_multipart() else {}
    if "content" not in parts:
        return problem(422, "- content is required\n", "Input validation failed")
    data = _data(parts["content"])
    if len(data) > LARGEST:
        return problem(413, "Files must be less than 100MB in size")
    try:
        metadata = json.loads(_data(parts["metadata"])) if "metadata" in parts else {}
    except ValueError:
        return problem(422, "- metadata must be valid JSON\n", "Input validation failed")
    record = _record(state.api_base, parts["content"], data, metadata)
    state.files[record["id"]] = record
    return json_response(201, record)


def _record(api_base: str, part: Message, data: bytes, metadata: Any) -> dict[str, Any]:
    file_id = base64.b64encode(str(uuid.uuid4()).encode()).decode()
    now = time.time_ns()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return {
        "id": file_id,
        "name": part.get_filename() or "file",
        "content_type": part.get_content_type(),
        "size": len(data),
        "etag": md5,
        "checksums": {"sha256": hashlib.sha256(data).hexdigest(), "md5": md5},
        "metadata": metadata,
        "created_at": timestamp(now, 3),
        "expires_at": timestamp(now + _DAY, 3),
        "urls": {"get": f"{api_base}/v1/files/{file_id}"},
    }


def _field(part: Message) -> str:
    return str(part.get_param("name", "", "content-disposition"))


def _data(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""
