"""raises what derives from BaseException alone"""

from tests.support.misbehaving.exceptions import Strange

raise Strange("no Exception")
