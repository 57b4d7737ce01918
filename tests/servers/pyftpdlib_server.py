"""A pyftpdlib server for the tests.

Arguments: address, port, root, user, password, a file of further Python lines
(which see `handler`), and `lock` or `no-lock`.
"""

import fcntl
import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer


class LockingFS(AbstractedFS):
    """Refuses to open a file for writing that another session has open so."""

    def open(self, filename, mode):
        if "w" in mode and "+" not in mode:
            # Truncate only once the lock is ours.
            file = super().open(filename, "ab")
            self._lock(file)
            file.truncate(0)
            return file
        file = super().open(filename, mode)
        if mode != "rb":
            self._lock(file)
        return file

    @staticmethod
    def _lock(file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise


def main():
    address, port, root, user, password, extra, lock = sys.argv[1:]
    logging.basicConfig(level=logging.DEBUG)
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, root, perm="elradfmwMT")
    handler = FTPHandler
    handler.authorizer = authorizer
    if lock == "lock":
        handler.abstracted_fs = LockingFS
    with open(extra, encoding="utf-8") as lines:
        exec(lines.read(), {"handler": handler})
    # Sessions in threads of their own: one that waits holds up no other.
    ThreadedFTPServer((address, int(port)), handler).serve_forever()


main()
