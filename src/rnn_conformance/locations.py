"""Where ``conformance/`` and ``impls/`` are: beside the package in a wheel, above it in a checkout.

They are content that is read by path, not packages that are imported.
"""

from __future__ import annotations

from pathlib import Path

from rnn_conformance.errors import SuiteError

# Looked for beside this very file: an editable install leaves a copy in site-packages that
# no edit reaches, while the modules themselves are the checkout's.
_IN_WHEEL = Path(__file__).resolve().with_name("_bundled")
_IN_CHECKOUT = Path(__file__).resolve().parents[2]


def bundled(name: str) -> Path:
    """The folder ``name`` (``"conformance"`` or ``"impls"``) that belongs to this package.

    Raises ``SuiteError`` if it is not there, as in an installation that is damaged.
    """
    folder = (_IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT) / name
    if not folder.is_dir():
        raise SuiteError(
            f"the folder {folder} is missing; the installation is damaged: "
            "install rnn-conformance again"
        )
    return folder
