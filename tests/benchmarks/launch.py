"""Runs a command and prints, as its last line, wall time in seconds and peak memory in MB: launch.py COMMAND…

A process starts with the peak memory of the one that it was split from, so this one must stay small.
"""

import os
import sys
import time

started = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ), 0)
print(time.perf_counter() - started, usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
