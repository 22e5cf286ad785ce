"""waits in C for ever, and holds the interpreter's lock"""

import ctypes

ctypes.PyDLL(None).pause()
