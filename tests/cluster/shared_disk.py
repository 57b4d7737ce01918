"""The laboratory's shared disk, as a plugin of nbdkit.

    nbdkit python shared_disk.py image=FILE control=SOCKET

What was written and not flushed is in a cache, which a loss of power empties. A
disk writes its cache back in any order, so any part of it may have become
durable by then: which, is left to chance.

Orders come by SOCKET, a line each, and are answered by a line:

    fail    every request is an error from now on
    mend    the disk has power and does as it is told again
    cut     power is lost in the middle of the next flush: `lost N of M blocks`;
            every request is an error until `mend`
    count   `N flushes, M blocks in the cache`
"""
import os
import queue
import random
import socketserver
import threading

import nbdkit

API_VERSION = 2

# What is durable as a whole or not at all.
BLOCK = 4096

# Seconds until the next flush: a file system in use flushes all the time.
FLUSH_LIMIT = 10


class Disk:
    """The image has what was written last, in the cache or not."""

    def __init__(self, image):
        self.file = os.open(image, os.O_RDWR)
        self.size = os.fstat(self.file).st_size
        # What the blocks in the cache would be without it, by their numbers.
        self.cached = {}
        self.flushes = 0
        self.fails = False
        # Where the answer to a loss of power goes that is due.
        self.outage = None

    def work(self):
        if self.fails:
            raise OSError("the disk fails")

    def read(self, buffer, offset):
        self.work()
        os.preadv(self.file, [buffer], offset)

    def write(self, buffer, offset):
        self.work()
        numbers = range(offset // BLOCK, (offset + len(buffer) - 1) // BLOCK + 1)
        former = os.pread(self.file, len(numbers) * BLOCK, numbers[0] * BLOCK)
        for index, number in enumerate(numbers):
            self.cached.setdefault(number, former[index * BLOCK : (index + 1) * BLOCK])
        os.pwrite(self.file, buffer, offset)

    def flush(self):
        self.work()
        if self.outage and self.cached:
            outage, self.outage = self.outage, None
            self.fails = True
            outage.put(self.lose_cache())
            self.work()
        self.flushes += 1
        self.cached.clear()

    def lose_cache(self):
        lost = random.sample(list(self.cached), random.randint(1, len(self.cached)))
        for number in lost:
            os.pwrite(self.file, self.cached[number], number * BLOCK)
        answer = f"lost {len(lost)} of {len(self.cached)} blocks"
        self.cached.clear()
        return answer

    def obey(self, order):
        if order == "count":
            return f"{self.flushes} flushes, {len(self.cached)} blocks in the cache"
        if order == "cut":
            outage = self.outage = queue.SimpleQueue()
            return outage.get(timeout=FLUSH_LIMIT)
        if order not in ("fail", "mend"):
            return f"refused: no order {order}"
        self.fails = order == "fail"
        return "ok"


class Orders(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            answer = disk.obey(self.rfile.readline().decode().strip())
        except queue.Empty:
            answer = "refused: nothing was flushed"
        print(answer, flush=True)
        self.wfile.write(f"{answer}\n".encode())


# What nbdkit calls. It calls one function at a time.

settings = {}
disk = None


def config(key, value):
    settings[key] = value


def get_ready():
    global disk
    disk = Disk(settings["image"])


def after_fork():
    server = socketserver.ThreadingUnixStreamServer(settings["control"], Orders)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def open(readonly):
    return disk


def can_multi_conn(disk):
    return True


def get_size(disk):
    return disk.size


def pread(disk, buffer, offset, flags):
    disk.read(buffer, offset)


def pwrite(disk, buffer, offset, flags):
    disk.write(buffer, offset)


def flush(disk, flags):
    disk.flush()
