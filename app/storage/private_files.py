"""Files that only their owner may read, because they hold restricted reports, hashes of keys or the audit log."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

OWNER_READS_AND_WRITES = stat.S_IRUSR | stat.S_IWUSR


def open_private_file(path: Path) -> IO[bytes]:
    """Create a file that its owner alone may use, whatever the umask, and open it to write; raise FileExistsError if it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_READS_AND_WRITES)
    # The umask may have taken permissions away.
    os.fchmod(descriptor, OWNER_READS_AND_WRITES)
    return os.fdopen(descriptor, "wb")


def replace_by_private_file(path: Path) -> IO[bytes]:
    """Delete the file at a path, which others may have open, and open a private one in its place; open a device or a pipe without this."""
    if path.exists() and not path.is_file():
        return path.open("wb")
    path.unlink(missing_ok=True)
    return open_private_file(path)


def create_private_file(path: Path) -> None:
    """Create an empty file that its owner alone may use, unless it exists; and its folder, if no other folder is missing."""
    with suppress(FileExistsError):
        path.parent.mkdir(mode=stat.S_IRWXU)
        path.parent.chmod(stat.S_IRWXU)
    with suppress(FileExistsError):
        open_private_file(path).close()
