"""The API of a container of Cog: its one model, and the creation of predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

from replicate_stream._api.cog.boot import CogBoot, is_booting
from replicate_stream._api.cog.request import ADDRESS, CREATE_PATH
from replicate_stream._api.cog.run import CogRun
from replicate_stream._api.creation import start_deadline
from replicate_stream._api.files import Files
from replicate_stream._api.http import Http
from replicate_stream._api.models import Model, ModelRef, Models
from replicate_stream._api.responses import parse_json_object
from replicate_stream._errors import InvalidInputError, ModelNotFoundError
from replicate_stream._settings import Settings
from replicate_stream._types.media import to_data_uri
from replicate_stream._types.prediction import Prediction, to_mapping

if TYPE_CHECKING:
    from replicate_stream._api.api import Reading
    from replicate_stream._api.creation import Recorder

_SCHEMA_PATH = "/openapi.json"


class CogApi:
    """A container of Cog; the methods and attributes are those of `Api`."""

    may_boot = True

    def __init__(self, settings: Settings) -> None:
        self.http = Http(settings)
        self.models = CogModels(self.http)
        self.files = InlineFiles(self.http)

    async def find_boot(self, model: str) -> CogBoot | None:
        """Return the boot of the container; None if it is ready, or was a moment ago."""
        if self.models.get_cached(model) is not None or not await is_booting(self.http):
            return None
        return CogBoot(self.http, start_deadline(self.http.settings))

    async def create(
        self,
        model: Model,  # noqa: ARG002 - the container's only one
        input_: dict[str, Any],
        reading: Reading,
        deadline_at: float | None,
        recorder: Recorder | None = None,  # noqa: ARG002 - no later search finds the prediction
    ) -> CogRun:
        """Create a prediction; wait in line while the container is busy.

        Raises:
            ReplicateError: As `CogRequest.send`.
        """
        if deadline_at is None:
            deadline_at = start_deadline(self.http.settings)
        run = CogRun(self.http, input_, reading, deadline_at)
        try:
            await run.open()
        except BaseException:
            await run.cancel()
            raise
        return run

    async def fetch_prediction(self, prediction_id: str) -> Prediction:
        """Raise `ModelNotFoundError`: a container keeps no records."""
        raise _build_record_error(prediction_id)

    async def find_predictions(
        self,
        wanted: Counter[str],  # noqa: ARG002
        created_after: float,  # noqa: ARG002
        *,
        digest_input: Callable[[Mapping[str, Any]], str],  # noqa: ARG002
        known_ids: Collection[str] = (),  # noqa: ARG002
    ) -> dict[str, list[str]]:
        """Return nothing: a prediction does not outlive the process that read it."""
        return {}

    def read(self, prediction: Prediction, reading: Reading) -> NoReturn:  # noqa: ARG002
        """Raise `ModelNotFoundError`, as `fetch_prediction`."""
        raise _build_record_error(prediction.id)

    def list_models(
        self,
        query: str | None,  # noqa: ARG002
        is_listed: Callable[[Mapping[str, Any]], bool],  # noqa: ARG002
    ) -> NoReturn:
        """Raise `InvalidInputError`: a container has one model."""
        message = "there is no list of models: dialect='cog' is a container of one"
        raise InvalidInputError(message, fields=("dialect",))


def _build_record_error(prediction_id: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"prediction {prediction_id} cannot be taken up again: dialect='cog' keeps no records",
        status=HTTPStatus.NOT_FOUND,
    )


@dataclass(frozen=True)
class CogModel(Model):
    """The model of a container."""

    @property
    def schema_remedy(self) -> str:
        """The likely remedy if there is no schema."""
        return f"a container has it at {_SCHEMA_PATH}; {ADDRESS}"

    @cached_property
    def endpoint(self) -> tuple[str, dict[str, Any]]:
        """The path that creates a prediction, and no further fields."""
        return CREATE_PATH, {}


class CogModels(Models):
    """Looks up the container's model, under whatever name it is asked for.

    The name chooses chat templates and shows up in metadata, and the container knows nothing of it.
    """

    # Authors start their containers again with another schema, which takes a request of a
    # millisecond to notice.
    cache_seconds = 5.0

    def parse(self, model: str) -> ModelRef:
        """Return a reference of any name.

        Raises:
            InvalidInputError: The name is empty.
        """
        name = str(model).strip()
        if not name:
            raise InvalidInputError("model is empty; any name will do", fields=("model",))
        return ModelRef(name)

    async def _fetch_and_remember(self, ref: ModelRef) -> Model:
        response = await self._get_schema()
        if response is None:
            await CogBoot(self._http, start_deadline(self._http.settings)).wait()
            response = await self._get_schema()
        model = CogModel(ref, None if response is None else _join_streamed(response))
        self.remember(model)
        return model

    async def _get_schema(self) -> Mapping[str, Any] | None:
        """Fetch the schema; None if the model boots, or was built without one."""
        response = await self._http.request(
            "GET",
            _SCHEMA_PATH,
            accepted=(HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.NOT_FOUND),
        )
        is_there = response.is_success
        return parse_json_object(response, f"GET {_SCHEMA_PATH}") if is_there else None


class InlineFiles(Files):
    """Files of any size as data URIs, for Cog has no uploads."""

    async def _upload(self, data: bytes, mime_type: str) -> str:
        return to_data_uri(data, mime_type)


def _join_streamed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Declare that the texts which a model streams are pieces of one text.

    A list of texts without that mark holds alternatives (docs/replicate-api.md 5.2), but what
    `@cog.streaming` streams in Cog's own example is an `Iterator[str]`, whose schema has no mark.
    """
    post = to_mapping(to_mapping(to_mapping(schema.get("paths")).get(CREATE_PATH)).get("post"))
    components = to_mapping(schema.get("components"))
    schemas = to_mapping(components.get("schemas"))
    output = to_mapping(schemas.get("Output"))
    is_text = to_mapping(output.get("items")).get("type") == "string"
    if post.get("x-cog-streaming") is not True or output.get("type") != "array" or not is_text:
        return schema
    joined = {**schemas, "Output": {**output, "x-cog-array-display": "concatenate"}}
    return {**schema, "components": {**components, "schemas": joined}}
