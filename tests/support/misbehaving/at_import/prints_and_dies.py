"""200 lines of output, and SIGSEGV"""

from tests.support.misbehaving.crashes import segfault

for number in range(200):
    print(f"loading layer {number}", flush=True)

segfault()
