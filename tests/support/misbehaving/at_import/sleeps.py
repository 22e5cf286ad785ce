"""sleeps for ever"""

from tests.support.misbehaving.hangs import sleep

sleep()
