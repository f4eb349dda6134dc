"""The command `posetrack`: one module per command. None of them imports torch, cv2 or decord before it runs."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from posetrack_app.cli.benchmark import benchmark
from posetrack_app.cli.convert import convert, validate
from posetrack_app.cli.dataset import dataset
from posetrack_app.cli.doctor import doctor
from posetrack_app.cli.edit import edit
from posetrack_app.cli.evaluate import evaluate
from posetrack_app.cli.export import export
from posetrack_app.cli.link import link
from posetrack_app.cli.log import log_to_stderr
from posetrack_app.cli.models import models
from posetrack_app.cli.output import lossy_output
from posetrack_app.cli.render import render
from posetrack_app.cli.review import review
from posetrack_app.cli.run import run
from posetrack_app.cli.selftest import selftest
from posetrack_app.cli.submit_check import submit_check
from posetrack_app.cli.train import train
from posetrack_app.cli.tune import tune
from posetrack_app.cli.weights import weights
from posetrack_app.core.errors import InputError, is_out_of_memory, memory_message
from posetrack_app.core.version import __version__

_SPIN_COUNT = "5000"
"""How long an idle PyTorch thread on Linux spins before it frees its core, unless the user sets GOMP_SPINCOUNT.

The default of 300,000 is some milliseconds: two runs on the same cores then mostly wait for each other.
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="posetrack")
def posetrack() -> None:
    """Find and follow every person in a video: identity, box and keypoints."""


posetrack.add_command(run)
posetrack.add_command(render)
posetrack.add_command(review)
posetrack.add_command(convert)
posetrack.add_command(validate)
posetrack.add_command(export)
posetrack.add_command(models)
posetrack.add_command(link)
posetrack.add_command(edit)
posetrack.add_command(weights)
posetrack.add_command(evaluate)
posetrack.add_command(benchmark)
posetrack.add_command(dataset)
posetrack.add_command(selftest)
posetrack.add_command(doctor)
posetrack.add_command(train)
posetrack.add_command(tune)
posetrack.add_command(submit_check)


def main() -> None:
    """Run the command line.

    Bad input and too little memory end with one line and exit code 2, ctrl-C, SIGTERM and SIGHUP with 130.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _interrupt)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)
    with lossy_output(), log_to_stderr():
        try:
            posetrack.main(standalone_mode=False)
        except NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.ClickException as error:
            context = error.ctx if isinstance(error, click.UsageError) else None
            command = context.command_path if context else "posetrack"
            message = " ".join(error.format_message().rstrip(".").splitlines())
            _refuse(f"{message}; see {command} --help")
        except InputError as error:
            _refuse(f"{error} (--{error.option.replace('_', '-')})" if error.option else str(error))
        except (KeyboardInterrupt, click.Abort):
            logging.getLogger("posetrack").error("stopped")
            sys.exit(130)
        except Exception as error:
            if is_out_of_memory(error):
                _refuse(memory_message(error))
            if not isinstance(error, OSError) or error.filename is None:
                raise
            # The system refuses a file or folder: no permission, a name that is too long, a drive that is gone.
            _refuse(f"{error.filename}: {error.strerror}")


def _refuse(reason: str) -> NoReturn:
    """End with one line and exit code 2."""
    logging.getLogger("posetrack").error("%s", reason)
    sys.exit(2)


def _interrupt(*_: object) -> NoReturn:
    """Treat SIGTERM and SIGHUP as ctrl-C, so that finished frames are kept."""
    raise KeyboardInterrupt
