"""fills memory as fast as it can"""

from tests.support.misbehaving.resources import TakesMemoryAtOnce

TakesMemoryAtOnce(1, 1).act()
