"""Processes that were forked from one with networks: the threads of PyTorch and OpenCV do not exist in them."""

from __future__ import annotations

import os

from posetrack_app.core.errors import InputError

_process: int | None = None


def note_networks() -> None:
    """Remember that this process has networks, and so threads."""
    global _process
    _process = os.getpid()


def refuse_after_fork() -> None:
    """InputError if a process with networks forked this one: computing would wait forever for missing threads."""
    if _process is not None and _process != os.getpid():
        raise InputError(
            "this process was forked from one that had loaded networks, and their threads do not exist here; start it "
            'with multiprocessing.get_context("spawn"), or load networks only after the fork'
        )
