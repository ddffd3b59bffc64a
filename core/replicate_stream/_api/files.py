"""Files too large for a request: uploaded once, and named by their address afterwards."""

from __future__ import annotations

import hashlib
import mimetypes
import time
import uuid

from replicate_stream._api.http import Http
from replicate_stream._api.responses import json_object
from replicate_stream._errors import ResponseError

KEPT = 12 * 3600.0
"""Seconds for which an upload is used again; the service keeps it for 24 hours (recorded)."""


class Files:
    """Uploads files, each once for as long as the service surely has it."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._known: dict[str, tuple[str, float]] = {}

    async def upload(self, data: bytes, mime_type: str) -> str:
        """Upload a file; the address that an input takes (replicate-api.md 2.1).

        Raises:
            ResponseError: The API refused, or its reply has no address.
        """
        digest = f"{mime_type} {hashlib.sha256(data).hexdigest()}"
        known, until = self._known.get(digest, ("", 0.0))
        if until > time.monotonic():
            return known
        boundary = uuid.uuid4().hex
        name = "upload" + (mimetypes.guess_extension(mime_type) or "")
        body = (
            (
                f"--{boundary}\r\n"
                f'Content-Disposition: form-data; name="content"; filename="{name}"\r\n'
                f"Content-Type: {mime_type}\r\n\r\n"
            ).encode()
            + data
            + f"\r\n--{boundary}--\r\n".encode()
        )
        reply = await self._http.post("/files", body, f"multipart/form-data; boundary={boundary}")
        urls = json_object(reply, "POST /files").get("urls")
        url = urls.get("get") if isinstance(urls, dict) else None
        if not isinstance(url, str):
            raise ResponseError("POST /files: the reply has no address", status=reply.status)
        self._known[digest] = (url, time.monotonic() + KEPT)
        return url
