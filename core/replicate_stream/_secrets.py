"""Secrets of the connection, and their removal from everything that is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping

secret_headers: set[str] = {
    "auth", "bearer", "cookie", "credential", "jwt", "key", "pass", "pwd", "secret", "session",
    "signature", "token",
}  # fmt: skip
"""Parts of the names of headers that hold secrets, in lower case. Add the names of your own."""
# A header of any name holds a secret if it has the form of one: a scheme, or a token's prefix.
_SECRET_VALUE = re.compile(r"(?i:bearer|basic|digest|token|apikey)\s|(?:r8_|sk-|hf_|ghp_|eyJ)\w")
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
