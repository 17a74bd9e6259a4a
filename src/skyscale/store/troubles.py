"""What a database raises, told in our errors: `Unavailable` when it is at fault, `Invalid` when the caller is."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from skyscale.errors import Invalid, Unavailable

_AWAY = ("08", "53", "57P")
"""Classes of SQLSTATE that say that the server is gone, full or stopping."""
_HINT = "Try again; whoever runs the database should look at its log."
_SQLITE = {
    sqlite3.SQLITE_BUSY: "Try again; another process holds the database's file locked.",
    sqlite3.SQLITE_FULL: "Make room on the disk of the control plane's data folder, then try again.",
    sqlite3.SQLITE_IOERR: "Look at the disk of the control plane's data folder, then try again.",
    sqlite3.SQLITE_READONLY: "Let the control plane's user write to its data folder, then try again.",
    sqlite3.SQLITE_CANTOPEN: "Look for the folder of the database's file and who may write there, then try again.",
    sqlite3.SQLITE_NOTADB: "Name a file that Skyscale made (DB_PATH), or one that does not exist yet.",
    sqlite3.SQLITE_CORRUPT: "Stop the control plane and restore the database's file from a backup.",
}
"""Primary result codes of SQLite that are trouble with its file, and what to do about it."""
_UNSTORABLE_TEXT = {"22001", "22021", "22P05"}
"""SQLSTATEs of text that is too long for its column or that the server's encoding cannot hold."""


@contextmanager
def troubles_are_told() -> Generator[None]:
    """Turn what the block raises into an error of ours, if it is not a mistake of ours.

    Raises:
        Unavailable: the database is away, full or locked; nothing of the transaction was kept.
        Invalid: a value cannot be stored.
    """
    try:
        yield
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        raise told from error


def away(error: BaseException) -> Unavailable:
    """The error of a database that does not do what it is asked."""
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    hint = _SQLITE.get(_sqlite_code(error), _HINT)
    return Unavailable(f"the database is not available: {reason}", code="database_unavailable", hint=hint)


def _told(error: Exception) -> Invalid | Unavailable | None:
    # What a driver raises while it connects is not wrapped.
    cause = (error.orig or error) if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    if state in _UNSTORABLE_TEXT:
        return Invalid("a text is too long to be stored, or holds a character that cannot be (U+0000)")
    if isinstance(error, OverflowError) or (isinstance(error, DBAPIError) and "out of int" in str(cause)):
        return Invalid("a number is too large to be stored")
    is_gone = isinstance(error, DBAPIError) and error.connection_invalidated
    is_gone = is_gone or isinstance(cause, PoolTimeout | ConnectionError)
    is_gone = is_gone or (isinstance(state, str) and state.startswith(_AWAY)) or _sqlite_code(cause) in _SQLITE
    return away(cause) if is_gone else None


def _sqlite_code(error: BaseException) -> int:
    """Its primary result code, or 0: the rest of an extended one says more than is of use here."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
