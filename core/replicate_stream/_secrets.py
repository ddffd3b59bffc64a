"""Secrets of the connection: wrapped while in memory, and removed from what is stored or quoted.

Error trackers record the variables of every frame. So a token is wrapped where it comes in, and
unwrapped where aiohttp reads the header. A server may quote the headers of a request in its errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

secret_headers: set[str] = {
    "auth", "bearer", "cookie", "credential", "jwt", "key", "pass", "pwd", "secret", "session",
    "signature", "token",
}  # fmt: skip
"""Parts of the names of headers that hold secrets, in lower case. Add the names of your own."""
# A header of any name holds a secret if it has the form of one: a scheme, or a token's prefix.
_SECRET_VALUE = re.compile(r"(?i:bearer|basic|digest|token|apikey)\s|(?:r8_|sk-|hf_|ghp_|eyJ)\w")
_SCHEME = re.compile(r"[A-Za-z]+\s+")
_MIN_LENGTH = 4  # characters of a secret; a shorter one is in many words
_MAX_KNOWN = 64
_USER_INFO = re.compile(r"\A((?:[\w+.-]+:)?//)?[^/?#]*@")


def is_secret_header(name: str, value: str) -> bool:
    """Whether a header holds a secret, by `secret_headers` or by the form of its value."""
    lowered = name.lower()
    is_named = any(part.lower() in lowered for part in secret_headers)
    return is_named or _SECRET_VALUE.match(value) is not None


def without_secrets(
    proxy: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[str | None, dict[str, str] | None]:
    """Remove the password from a proxy's URL, and the secrets from headers.

    For everything that is stored, such as a pickle.
    """
    if proxy is not None:
        proxy = _USER_INFO.sub(r"\1", proxy)
    if headers is not None:
        headers = {k: v for k, v in headers.items() if not is_secret_header(k, v)}
    return proxy, headers


class Token:
    """A token that no `repr` shows.

    Args:
        value: The token. Whitespace around it is removed.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value.strip()

    def __repr__(self) -> str:
        return "Token(…)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    @property
    def is_valid(self) -> bool:
        """Whether a header can hold it. A line break would let it add headers of its own."""
        return self._value.isascii() and self._value.isprintable() and " " not in self._value

    def get_secret_value(self) -> str:
        """Return the token."""
        return self._value


class Headers(Mapping[str, str]):
    """Headers whose values no `repr` shows. Their names are compared without case.

    Args:
        layers: Headers, of which later ones replace earlier ones. A `Token` is unwrapped, as
            `Bearer …`, only when it is read.
    """

    def __init__(self, *layers: Mapping[str, str | Token]) -> None:
        pairs = (pair for layer in layers for pair in layer.items())
        self._pairs = {str(pair[0]).lower(): pair for pair in pairs}

    def __getitem__(self, name: str) -> str:
        value = self._pairs[name.lower()][1]
        return f"Bearer {value.get_secret_value()}" if isinstance(value, Token) else value

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)


def hide(value: Any) -> Any:
    """Wrap a token or headers that come in; return any other value, such as a function, as it is.

    To be called before anything can fail, in place of the argument.
    """
    if isinstance(value, str):
        return Token(value)
    return Headers(value) if isinstance(value, Mapping) else value


class Redactor:
    """Replaces the secrets of a client's latest requests where a service's words are quoted."""

    def __init__(self) -> None:
        self._known: list[str] = []
        self._pattern: re.Pattern[str] | None = None

    def add(self, headers: Mapping[str, str]) -> None:
        """Add the secrets among the headers of a request."""
        values = {_SCHEME.sub("", v, count=1) for k, v in headers.items() if is_secret_header(k, v)}
        if new := [v for v in values if len(v) >= _MIN_LENGTH and v not in self._known]:
            self._known = [*self._known, *new][-_MAX_KNOWN:]
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def redact(self, value: Any) -> Any:
        """Copy a text, or decoded JSON, without the secrets."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self._pattern.sub("[redacted]", value)
        if isinstance(value, list):
            return [self.redact(item) for item in value]
        if isinstance(value, dict):
            return {self.redact(key): self.redact(item) for key, item in value.items()}
        return value
