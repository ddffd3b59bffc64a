"""Read the local files that messages name."""

from __future__ import annotations

from replicate_stream._errors import InvalidInputError

MAX_BYTES = 100 * 2**20
"""The largest text that is read, because a device, or a pipe, may have no end.

Cog takes no larger request either.
"""


def read_file(path: str, owner: str, limit: int = -1) -> bytes:
    """Read a file, whole or up to a number of bytes.

    Args:
        path: Its path.
        owner: What names it, for the error: an input, or a block such as `messages[0].content[1]`.
        limit: The most bytes to read; -1 for all.

    Raises:
        InvalidInputError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path may be any name that is given
            return file.read(limit)
    except (OSError, ValueError) as error:  # no file can have such a name
        reason = error.strerror if isinstance(error, OSError) else "its name is invalid"
        raise _invalid(f"cannot be read: {reason}", path, owner) from error


def read_text_file(path: str, owner: str) -> bytes:
    """Read a file that goes into the prompt.

    Raises:
        InvalidInputError: It cannot be read, or is larger than `MAX_BYTES`.
    """
    data = read_file(path, owner, MAX_BYTES + 1)
    if len(data) <= MAX_BYTES:
        return data
    del data  # error trackers record the variables of a frame that an error leaves
    raise _invalid(f"is larger than {MAX_BYTES / 2**20:g} MiB", path, owner)


def _invalid(problem: str, path: str, owner: str) -> InvalidInputError:
    field = owner.partition(".content")[0]
    return InvalidInputError(f"{owner}: the file {path!r} {problem}", fields=(field,))
