"""Text that an implementation brings, as much of it as is shown, and as it can be shown.

It may be megabytes long, and hold what a terminal obeys, what no XML has, or what no encoding
can write.
"""

from __future__ import annotations


def legible(text: str) -> str:
    """The text with escapes for all that is not printed: controls, directions, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def excerpt(text: str, most: int = 4000) -> str:
    """The beginning and the end of a text of more than ``most`` characters, and what is left out.

    The end is there since a traceback says last what happened.
    """
    if len(text) <= most:
        return legible(text)
    half, left_out = most // 2, len(text) - most // 2 * 2
    note = f"\n… {left_out} characters are left out …\n"
    return f"{legible(text[:half])}{note}{legible(text[-half:])}"


def line(text: str, most: int = 300) -> str:
    """The text in one line of at most ``most`` characters, but for escapes."""
    whole = " ".join(text[: 10 * most].split())
    return legible(whole if len(whole) <= most else f"{whole[: most - 1]}…")
