"""Errors that the user can fix."""

import errno

_MEMORY_TEXTS = (
    "allocate memory",
    "bad_alloc",
    "Insufficient memory",
    "failed to map segment",
    "start new thread",
)
"""What PyTorch, OpenCV, the loader of libraries and Python say when the system gives no more memory."""


class InputError(ValueError):
    """Bad input. The text is one line: what is wrong, and what to do next.

    `option` is the name of the argument that the text is about, such as "force"; the command line shows it as --force.
    """

    def __init__(self, message: str, *, option: str = "") -> None:
        super().__init__(message)
        self.option = option


class InUseError(InputError):
    """Another process works on the same output."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that led to it, says that the memory of this machine or process is used up."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if any(text in str(error) for text in _MEMORY_TEXTS):
        return True
    before = error.__cause__ or error.__context__
    return before is not None and is_out_of_memory(before)


def memory_message(error: BaseException) -> str:
    """One line for the user, for an error that `is_out_of_memory`."""
    reason = one_line(error)[:200] or type(error).__name__
    return f"out of memory ({reason}); close other programs, or allow this one more memory (ulimit -v)"


def one_line(error: BaseException) -> str:
    """The text of another library's error without line breaks, to quote in an InputError."""
    return " ".join(str(error).split())
