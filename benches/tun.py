#!/usr/bin/env python3
"""Makes two TUN devices and becomes a command that has them as standard input and output.

    tun.py NAME NAME COMMAND...

The devices carry bare IP packets, and are gone when the command ends. Needs root; used by line.sh.
"""

import fcntl
import os
import struct
import sys

# From linux/if_tun.h.
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000


def device(name):
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


near, far, *command = sys.argv[1:]
for number, tun in enumerate(map(device, (near, far))):
    os.dup2(tun, number)
    os.close(tun)
os.execvp(command[0], command)
