"""Read and upload the files of a model's input: small ones become data URIs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from replicate_stream._api.files import Files
from replicate_stream._errors import InvalidInputError
from replicate_stream._types.media import DATA_URI_LIMIT, Upload, place_upload, to_data_uri
from replicate_stream._types.request import ModelInput


async def upload_files(model_input: ModelInput, files: Files) -> None:
    """Replace the placeholders of files in the input by data URIs and URLs of uploads.

    Raises:
        InvalidInputError: A local file cannot be read.
        ResponseError: The API rejected an upload.
    """
    for upload in model_input.uploads:
        data = upload.data
        if data is None:
            data = await asyncio.to_thread(_read, upload)
        if len(data) <= DATA_URI_LIMIT:
            uri = to_data_uri(data, upload.mime_type)
        else:
            uri = await files.upload(data, upload.mime_type)
        place_upload(model_input.input, upload, uri)


def _read(upload: Upload) -> bytes:
    try:
        return Path(upload.path or "").read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"{upload.input_name}: the file {upload.path} cannot be read: {error.strerror}",
            fields=(upload.input_name,),
        ) from error
