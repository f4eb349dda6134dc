"""The one error for bad input: a line in the user's words, shown without a traceback, exit code 2."""


class InputError(ValueError):
    """What is wrong with the user's file, option or setting, and what to do next, in one line."""
