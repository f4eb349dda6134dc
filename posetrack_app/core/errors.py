"""Errors that the user can fix."""


class InputError(ValueError):
    """Bad input. The text is one line: what is wrong, and what to do next.

    `option` is the name of the argument that the text is about, such as "force"; the command line shows it as --force.
    """

    def __init__(self, message: str, *, option: str = "") -> None:
        super().__init__(message)
        self.option = option


def one_line(error: Exception) -> str:
    """The text of another library's error without line breaks, to quote in an InputError."""
    return " ".join(str(error).split())
