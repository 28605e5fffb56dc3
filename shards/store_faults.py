"""What goes wrong between here and a store: tried again where it may pass, told in one line where it does not.

Libraries name the URL, and with it passwords and signatures, in their errors: what is told is scrubbed, and raised
without the error it came from.
"""

import contextlib
import errno
import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from ingest.errors import BadInput, BiasCareError

WAITS_S = (0.2, 0.8, 3.2, 12.8)
"""Before each further try. The last is as long as stores ask for when they are too busy."""
FIRST_WAITS_S = WAITS_S[:2]
"""When a store is first spoken to: someone is waiting, and the URL may be wrong."""
PASSING_ERRNOS = frozenset(
    {errno.EIO, errno.EBUSY, errno.EAGAIN, errno.EPIPE, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH}
)
BUSY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

# By name, as imported they cost a second and are not installed everywhere.
WITHOUT_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"})
UNREACHABLE = frozenset(
    {"EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError", "ConnectionTimeoutError"}
)
BROKEN_OFF = frozenset({"ConnectionError", "HTTPClientError", "ClientConnectionError", "ClientPayloadError"})

T = TypeVar("T")


class ShortRead(OSError):
    """A store gave another number of bytes than it was asked for."""


class WholeRead(OSError):
    """A server gave the whole file for a range of it."""


class StoreFault(OSError):
    """One line without secrets. ``is_input``: the user must change something, another try changes nothing."""

    def __init__(self, message: str, *, is_input: bool) -> None:
        super().__init__(message)
        self.is_input = is_input

    def __reduce__(self) -> tuple[Callable[..., "StoreFault"], tuple[str, bool]]:
        return _fault, (str(self), self.is_input)

    @property
    def as_error(self) -> BiasCareError:
        """What ends a command: exit code 2 for input, 1 otherwise."""
        return BadInput(str(self)) if self.is_input else BiasCareError(str(self))


def _fault(message: str, is_input: bool) -> StoreFault:
    return StoreFault(message, is_input=is_input)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Let a fault of a store end the command, in one line."""
    error: BiasCareError
    try:
        yield
        return
    except StoreFault as fault:
        error = fault.as_error
    except FileNotFoundError as missing:
        error = BadInput(missing.strerror)
    raise error


def asked(shown: str, act: Callable[[], T], *, waits_s: tuple[float, ...]) -> T:
    """What ``act`` gives, tried again after each of ``waits_s`` while its error may pass.

    Args: shown: the scrubbed URL it asks for.
    Raises: FileNotFoundError; StoreFault for every other error of the way or the store.
    """
    left = list(waits_s)
    while True:
        try:
            return act()
        except Exception as error:
            fault = fault_of(error, shown)
            if fault is None:  # no error of a store: a mistake in the program
                raise
            is_over = not left or not is_passing(error)
        if is_over:
            raise fault  # here: without the library's error, which may hold a signed URL
        time.sleep(left.pop(0))


def is_passing(error: BaseException) -> bool:
    """Whether another try may go well: a connection broken off, a busy store, fewer bytes than asked for."""
    if isinstance(error, ShortRead | TimeoutError | ConnectionError) or _status(error) in BUSY_STATUSES:
        return True
    if _kinds(error) & (UNREACHABLE | BROKEN_OFF):
        return _status(error) is None
    return isinstance(error, OSError) and error.errno in PASSING_ERRNOS


def fault_of(error: BaseException, shown: str) -> OSError | None:
    """``error`` as a StoreFault or FileNotFoundError of one line; None where it has nothing to do with a store."""
    kinds, status = _kinds(error), _status(error)
    if kinds & WITHOUT_CREDENTIALS:
        return StoreFault(
            f"{shown}: expected credentials for this store, found none: set them in the environment or in its "
            "configuration files, never in the URL",
            is_input=True,
        )
    if _lacks_bucket(error):
        return StoreFault(f"{shown}: expected a bucket there, got none of that name", is_input=True)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, f"{shown}: expected a file, got none")
    if isinstance(error, PermissionError) or status in (401, 403):
        return StoreFault(f"{shown}: expected leave to use it, got refused ({_told(error)})", is_input=True)
    if kinds & UNREACHABLE or isinstance(error, ConnectionRefusedError):
        return StoreFault(f"{shown}: expected to reach the store, got no connection ({_told(error)})", is_input=True)
    if isinstance(error, OSError) or status is not None or kinds & BROKEN_OFF or _is_library(error):
        return StoreFault(f"{shown}: {_told(error)}", is_input=False)
    return None


def scrubbed(text: str) -> str:
    """``text`` on one line, every URL in it without user, password, query and fragment."""
    text = re.sub(r"(\w+://)[^\s/@'\"]*@", r"\1", " ".join(text.split()))
    text = re.sub(r"(\w+://[^\s?#'\"]*)[?#][^\s'\")]*", r"\1", text)
    return re.sub(r"(?i)((?:x-amz-[\w-]+|signature|sig|token|secret\w*|password)=)[^\s&'\")]+", r"\1...", text)


def _told(error: BaseException) -> str:
    name = type(error).__name__
    status = _status(error)
    if isinstance(error, ShortRead | WholeRead):
        return str(error)
    if status is not None:
        return f"HTTP status {status}"
    said = scrubbed(str(error))
    return f"{name}: {said}" if said else name


def _kinds(error: BaseException) -> set[str]:
    """The names of the classes of an error of a network library, and of the one it came from."""
    return {
        kind.__name__
        for each in _chain(error)
        for kind in type(each).__mro__
        if kind.__module__.partition(".")[0] in ("botocore", "aiohttp", "aiobotocore")
    }


def _is_library(error: BaseException) -> bool:
    """Whether its class comes from a package: a mistake in a program gives a built-in one."""
    return type(error).__module__ != "builtins"


def _status(error: BaseException) -> int | None:
    """The HTTP status that aiohttp or botocore got, where it is an error's cause."""
    for each in _chain(error):
        status = getattr(each, "status", None)
        if status is None:
            status = _response(each).get("ResponseMetadata", {}).get("HTTPStatusCode")
        if isinstance(status, int):
            return status
    return None


def _lacks_bucket(error: BaseException) -> bool:
    return any(_response(each).get("Error", {}).get("Code") == "NoSuchBucket" for each in _chain(error))


def _response(error: BaseException) -> dict[str, dict[str, object]]:
    response = getattr(error, "response", None)
    return response if isinstance(response, dict) else {}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
