"""The files of a model's input: small ones become data URIs, large ones are uploaded."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import time
import uuid
from typing import TYPE_CHECKING

from replicate_stream._api.http import Http
from replicate_stream._api.responses import parse_json_object
from replicate_stream._errors import ResponseError
from replicate_stream._local_files import read_file

if TYPE_CHECKING:
    from replicate_stream._types.request import ModelInput

REUSE_SECONDS = 12 * 3600.0
"""Time for which an uploaded file is used again.

The service keeps it for 24 hours (docs/replicate-api.md 2.1); a prediction may still read it hours
after it was created.
"""


class Files:
    """Uploads files, each once for as long as the service certainly keeps it."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._uploaded: dict[str, tuple[str, float]] = {}  # URL and end of its use, by digest

    async def place_files(self, model_input: ModelInput) -> None:
        """Replace the placeholders of files in an input by data URIs and URLs of uploads.

        Raises:
            InvalidInputError: A local file cannot be read.
            ResponseError: The API refused an upload, or its response has no URL.
        """
        # Imported here, because most clients send no files.
        from replicate_stream._types.media import DATA_URI_LIMIT, place_upload, to_data_uri

        for upload in model_input.uploads:
            data = upload.data
            if data is None:
                data = await asyncio.to_thread(read_file, upload.path or "", upload.input_name)
            if upload.is_inline or len(data) <= DATA_URI_LIMIT:
                uri = to_data_uri(data, upload.mime_type)
            else:
                uri = await self._upload(data, upload.mime_type)
            place_upload(model_input.input, upload, uri)

    async def _upload(self, data: bytes, mime_type: str) -> str:
        """Upload a file, and return the URL that an input takes (docs/replicate-api.md 2.1)."""
        digest = f"{mime_type} {hashlib.sha256(data).hexdigest()}"
        url, expires_at = self._uploaded.get(digest, ("", 0.0))
        if expires_at > time.monotonic():
            return url
        # Bytes, not a form of aiohttp: the request may be repeated.
        boundary = uuid.uuid4().hex
        name = "upload" + (mimetypes.guess_extension(mime_type) or "")
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="content"; filename="{name}"\r\n'
            f"Content-Type: {mime_type}\r\n\r\n"
        )
        body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        response = await self._http.request("POST", "/files", data=body, headers=headers)
        urls = parse_json_object(response, "POST /files").get("urls")
        new_url = urls.get("get") if isinstance(urls, dict) else None
        if not isinstance(new_url, str):
            raise ResponseError("POST /files: the response has no URL", status=response.status)
        self._uploaded[digest] = (new_url, time.monotonic() + REUSE_SECONDS)
        return new_url
