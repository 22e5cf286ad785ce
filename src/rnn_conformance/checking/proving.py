"""What of a failure can be shown by one call, or one backward pass, of a fresh layer.

Most checks do more than call a layer once: they compare calls, copy, train, or demand an error. A
script with one call in it proves their failures only if that call is wrong by itself, so it is
asked again.
"""

from __future__ import annotations

from rnn_conformance.checking.assertions import assert_within_scatter
from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import AdapterError, NonConforming, Sort, Unsupported

TOLD = frozenset({Sort.VALUE, Sort.RAISED})
"""What a plain script can show: a number that is off, or an exception."""


def shown_alone(subject: Subject, error: NonConforming) -> NonConforming | None:
    """What the last call of a failure, or its backward pass, shows of a layer made anew.

    ``None`` where that is right, where dropout has a part in it, where the call is of another kind
    (a cell is compared with ``torch.nn``'s layer), and where what is wrong is neither a value nor
    an exception.
    """
    if not error.calls or error.calls[-1].training:
        return None
    if error.calls[-1].config.kind is not subject.kind:
        return None
    try:
        if error.backward is not None:
            call = error.backward.call
            assert_within_scatter(subject.pullback(call)(error.backward))
        else:
            assert_within_scatter(subject(error.calls[-1]))
    except NonConforming as shown:
        shown.backward = error.backward
        return shown if shown.sort in TOLD else None
    except (AdapterError, Unsupported):
        return None
    return None
