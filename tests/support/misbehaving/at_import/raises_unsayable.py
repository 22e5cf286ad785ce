"""an exception that cannot say what it is"""

from tests.support.misbehaving.exceptions import Unsayable

raise Unsayable
