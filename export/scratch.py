"""A folder for files that a quantiser or a clock wants to read from disk, gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..runtime.errors import EpeeError, ExportError

SMALLEST_FREE = 1 << 20
"""Bytes; where less is left, what went wrong went wrong for want of space, whatever a library says."""


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """Gives an empty temporary folder.

    Raises:
        ExportError: it cannot be made or written; libraries tell a full disk in many ways.
    """
    place = tempfile.gettempdir()
    do = "free some space, or name another folder in TMPDIR"
    try:
        with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except EpeeError:
        raise
    except OSError as error:
        raise ExportError(f"temporary folder '{place}'", got=error.strerror or str(error), do=do) from error
    except Exception as error:
        if shutil.disk_usage(place).free < SMALLEST_FREE:
            raise ExportError(f"temporary folder '{place}'", got="No space left on device", do=do) from error
        raise
