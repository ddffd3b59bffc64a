"""Secrets of the connection: wrapped while in memory, and removed from what is stored or quoted.

Error trackers record the variables of every frame. So a token is wrapped where it comes in, and
unwrapped where aiohttp reads the header. A server may quote the headers of a request in its errors.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote, unquote

E = TypeVar("E", bound=Exception)

secret_headers: set[str] = {
    "auth", "bearer", "cookie", "credential", "jwt", "key", "pass", "pwd", "secret", "session",
    "signature", "token",
}  # fmt: skip
"""Parts of the names of headers that hold secrets, in lower case. Add the names of your own."""
# A header of any name holds a secret if it has the form of one: a scheme, or a token's prefix.
_SECRET_VALUE = re.compile(r"(?i:bearer|basic|digest|token|apikey)\s|(?:r8_|sk-|hf_|ghp_|eyJ)\w")
_SCHEME = re.compile(r"[A-Za-z]+\s+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, "token"
_HEADER_VALUE = re.compile(r"[\t -~]*")
_FRAMING_HEADERS = {"content-length", "transfer-encoding"}
_SECRET_INPUT = re.compile(
    r"(api|access|secret|private)[_-]?key|token$|secret|passw|credential|authorization|cookie"
)
_MIN_KEY_LENGTH = 8  # characters of another service's key; a `stop_token` is shorter
_SALT = os.urandom(16)
_MIN_LENGTH = 4  # characters of a secret; a shorter one is in many words
_MIN_LENGTH_IN_DATA = 12  # a shorter one may stand by chance in an id, a URL or a schema
_MAX_KNOWN = 64
_MAX_SEARCHED = 4  # a prediction's requests have two or three kinds of headers
_UNESCAPED = re.compile(r"[\w.~+/=-]+")
_PASSWORD = re.compile(r"\A(?:[\w+.-]+:)?//([^:/?#]*):([^/?#]*)@")
_USER_INFO = re.compile(r"\A((?:[\w+.-]+:)?//)?[^/?#]*@")


def is_secret_header(name: str, value: str) -> bool:
    """Whether a header holds a secret, by `secret_headers` or by the form of its value."""
    lowered = name.lower()
    is_named = any(part.lower() in lowered for part in secret_headers)
    return is_named or _SECRET_VALUE.match(value) is not None


def without_secrets(
    proxy: str | None = None, headers: Mapping[str, str] | Headers | None = None
) -> tuple[str | None, dict[str, str] | None]:
    """Remove the password from a proxy's URL, and the secrets from headers.

    For everything that is stored, such as a pickle.
    """
    if proxy is not None:
        proxy = _USER_INFO.sub(r"\1", proxy)
    if headers is not None:
        headers = {k: v for k, v in headers.items() if not is_secret_header(k, v)}
    return proxy, headers


def without_secret_inputs(
    inputs: Mapping[str, Any], declared: Collection[str] = ()
) -> dict[str, Any]:
    """Remove the secrets from inputs of a model: other services' keys and tokens.

    For everything that is stored or traced.

    Args:
        inputs: The inputs.
        declared: The names of the inputs that the model's schema declares secret.
    """
    return {
        name: _without_nested_secrets(value)
        for name, value in inputs.items()
        if name not in declared and not (isinstance(value, str) and _is_secret_input(name, value))
    }


def _without_nested_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_secret_inputs(value)
    if isinstance(value, list | tuple):
        return [_without_nested_secrets(each) for each in value if not _has_secret_form(each)]
    return value


def _has_secret_form(value: Any) -> bool:
    return isinstance(value, str) and _SECRET_VALUE.match(value) is not None


def _is_secret_input(name: str, value: str) -> bool:
    is_named = len(value) >= _MIN_KEY_LENGTH and _SECRET_INPUT.search(name.lower())
    return bool(is_named) or _has_secret_form(value)


class Token:
    """A token that no `repr` shows.

    Args:
        value: The token. Whitespace around it is removed.

    Attributes:
        is_valid: Whether a header can hold it. A line break would let it add headers of its own.
    """

    __slots__ = ("_value", "is_valid")

    def __init__(self, value: str) -> None:
        self._value = value.strip()
        self.is_valid = (
            self._value.isascii() and self._value.isprintable() and " " not in self._value
        )

    def __repr__(self) -> str:
        return "Token(…)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def get_secret_value(self) -> str:
        """Return the token."""
        return self._value


class Headers:
    """Headers whose values no `repr` shows. Their names are compared without case.

    Not a mapping, because error trackers walk through mappings.

    Args:
        layers: Headers, of which later ones replace earlier ones. A `Token` is unwrapped, as
            `Bearer …`, only when it is sent.
    """

    def __init__(self, *layers: Mapping[str, str] | Mapping[str, Token] | Headers) -> None:
        self._pairs: dict[str, tuple[Any, Any]] = {  # of any type: they are checked later
            str(name).lower(): (name, value) for layer in layers for name, value in layer.items()
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._pairs == other._pairs

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._pairs

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over names and values, as they are sent."""
        for name, value in self._pairs.values():
            is_token = isinstance(value, Token)
            yield name, f"Bearer {value.get_secret_value()}" if is_token else value

    @cached_property
    def token_hash(self) -> bytes:
        """A hash of the token that tells tokens apart in this process only."""
        # In one expression, so that no variable holds the token.
        return hashlib.blake2b(
            {name.lower(): value for name, value in self.items()}.get("authorization", "").encode(),
            key=_SALT,
        ).digest()

    def find_problem(self) -> str | None:
        """Describe the first header that cannot be sent, without its value; None if all can."""
        for name, value in self.items():
            valid = _HEADER_NAME.match(name) if isinstance(name, str) else None
            if valid is None or valid[0] != name:
                # The rest may be a value: `Authorization: Bearer …`.
                start = valid[0] if valid else ""
                return (
                    f"headers has an invalid name, which begins with {start!r}; a name consists of "
                    "letters, digits and hyphens"
                )
            if name.lower() in _FRAMING_HEADERS:
                return f"header {name!r} cannot be set: it is written for each request"
            if not isinstance(value, str):
                return f"header {name!r} is of type {type(value).__name__}; it must be a str"
            if _HEADER_VALUE.fullmatch(value) is None:
                return (
                    f"header {name!r} has characters that no header can hold (line breaks, control "
                    "characters or non-ASCII); percent-encode them"
                )
        return None


def hide(value: Any) -> Any:
    """Wrap a token, or a URL that may have a password; return a source of one as it is.

    Anything else is replaced by an empty object. To be called before anything can fail, in place
    of the argument.
    """
    if isinstance(value, str):
        return Token(value)
    if value is None or callable(value):
        return value
    is_source = hasattr(value, "get_secret_value") or hasattr(value, "__await__")
    return value if is_source else _empty(value)


def hide_headers(value: Any) -> Any:
    """Wrap headers that come in, as `hide` does."""
    if value is None or isinstance(value, Headers):
        return value
    return Headers(value) if isinstance(value, Mapping) else _empty(value)


def _empty(value: object) -> object:
    """Make an empty object of a type of the same name, for the error that names the type."""
    return type(type(value).__name__, (), {})()


class Redactor:
    """Replaces the secrets of a client's latest requests where a service's words are used.

    Args:
        proxies: URLs of proxies, whose passwords are secrets too.
    """

    def __init__(self, proxies: Iterable[Token] = ()) -> None:
        self._permanent: list[str] = []
        for proxy in proxies:
            self._permanent += _find_passwords(proxy)
        self._known: list[str] = []
        self._compile()
        # Of the latest requests, with the number of names that are secret: searching every header
        # for these was a tenth of the cost of a short answer.
        self._searched: list[tuple[int, Headers]] = []

    def add(self, headers: Headers) -> None:
        """Add the secrets among the headers of a request."""
        search = len(secret_headers), headers
        if search in self._searched:
            return
        self._searched = [*self._searched, search][-_MAX_SEARCHED:]
        values = {_SCHEME.sub("", v, count=1) for k, v in headers.items() if is_secret_header(k, v)}
        values |= {each for value in values for each in _write(value)}
        if new := [v for v in values if len(v) >= _MIN_LENGTH and v not in self._known]:
            self._known = [*self._known, *new][-_MAX_KNOWN:]
            self._compile()

    def _compile(self) -> None:
        known = [*self._permanent, *self._known]
        self._lowered = [each.lower().encode("utf-8", "replace") for each in known]
        self._pattern = _compile(known)
        self._data_pattern = _compile([each for each in known if len(each) >= _MIN_LENGTH_IN_DATA])

    def redact(self, value: Any, *, is_data: bool = False) -> Any:
        """Copy a text, or decoded JSON, without the secrets.

        Args:
            value: The text or the JSON.
            is_data: Whether it is used, and not only quoted, so that short secrets, which may stand
                in it by chance, are left.
        """
        pattern = self._data_pattern if is_data else self._pattern
        return value if pattern is None else _replace(value, pattern)

    def is_clean(self, text: bytes) -> bool:
        """Return True if JSON is sure to hold no secret; False if it has to be searched decoded.

        Nearly no response holds one; this finds it out at a tenth of the cost of `redact`.
        """
        # Counted, because `in` takes bytes for a number first, which takes twice as long.
        if not text.isascii() or text.count(b"\\"):  # an escape may stand for any character
            return False
        return not any(map(text.lower().count, self._lowered))

    def redact_error(self, error: E) -> E:
        """Remove the secrets from the message of an error, and return the error."""
        error.args = tuple(self.redact(list(error.args)))
        return error


def _write(secret: str) -> tuple[str, ...]:
    """Write a secret as URLs, pages of HTML and JSON within a text hold it."""
    url = quote(secret, safe="")
    if _UNESCAPED.fullmatch(secret):
        return (url,)
    from html import escape  # slower to import than this module, and tokens do not need it

    return url, escape(secret), json.dumps(secret)[1:-1]


def _find_passwords(proxy: Token) -> list[str]:
    """Find the forms of a proxy's password: in its URL, by itself, and in a header."""
    match = _PASSWORD.match(proxy.get_secret_value())
    if match is None:
        return []
    user, password = map(unquote, match.groups())
    header = base64.b64encode(f"{user}:{password}".encode()).decode()
    return [each for each in {match[2], password, header} if len(each) >= _MIN_LENGTH]


def _compile(secrets: Collection[str]) -> re.Pattern[str] | None:
    if not secrets:
        return None
    longest_first = sorted(secrets, key=len, reverse=True)
    # A host name is quoted in lower case.
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)


def _replace(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub("[redacted]", value)
    if isinstance(value, list):
        return [_replace(item, pattern) for item in value]
    if isinstance(value, dict):
        return {_replace(key, pattern): _replace(item, pattern) for key, item in value.items()}
    return value
