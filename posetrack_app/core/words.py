"""Wording of messages."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """`number` with its noun: "1 frame", "2 frames", "3 people"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
