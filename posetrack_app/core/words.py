"""Wording of messages."""

_ESCAPES = {code: ascii(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def counted(number: int, noun: str, plural: str = "") -> str:
    """`number` with its noun: "1 frame", "2 frames", "3 people"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def printable(text: str) -> str:
    """`text` on one line: line breaks and control characters, which file names may have, as escapes such as \\n."""
    return text.translate(_ESCAPES)
