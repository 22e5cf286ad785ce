"""SIGSEGV"""

from tests.support.misbehaving.crashes import segfault

segfault()
