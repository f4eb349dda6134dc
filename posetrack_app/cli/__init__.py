"""The command `posetrack`: one module a command; none of them imports torch, cv2 or decord before it runs."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from posetrack_app import __version__
from posetrack_app.cli.benchmark import benchmark
from posetrack_app.cli.convert import convert, validate
from posetrack_app.cli.dataset import dataset
from posetrack_app.cli.doctor import doctor
from posetrack_app.cli.evaluate import evaluate
from posetrack_app.cli.export import export
from posetrack_app.cli.link import link
from posetrack_app.cli.models import models
from posetrack_app.cli.render import render
from posetrack_app.cli.run import run
from posetrack_app.cli.selftest import selftest
from posetrack_app.cli.train import train
from posetrack_app.cli.weights import weights
from posetrack_app.errors import InputError

_SPINS = "5000"
"""Turns that a thread of PyTorch's on Linux waits for the others before it lets go of its core, unless the user says.

By default they are 300,000, some milliseconds: two runs at once on the same cores then take turns at waiting.
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="posetrack")
def posetrack() -> None:
    """Every person's identity, box and keypoints in a video."""


posetrack.add_command(run)
posetrack.add_command(render)
posetrack.add_command(convert)
posetrack.add_command(validate)
posetrack.add_command(export)
posetrack.add_command(models)
posetrack.add_command(link)
posetrack.add_command(weights)
posetrack.add_command(evaluate)
posetrack.add_command(benchmark)
posetrack.add_command(dataset)
posetrack.add_command(selftest)
posetrack.add_command(doctor)
posetrack.add_command(train)


def _refuse(reason: str) -> NoReturn:
    """One line, whatever text of the user's file it quotes."""
    click.echo(f"posetrack: {' '.join(reason.splitlines())}", err=True)
    sys.exit(2)


def main() -> None:
    """Run the command line; bad input ends with one line and exit code 2, ctrl-C and SIGTERM with 130."""
    signal.signal(signal.SIGTERM, _interrupt)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    try:
        posetrack.main(standalone_mode=False)
    except NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        asked = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "posetrack"
        _refuse(f"{error.format_message().rstrip('.')}; see {asked} --help")
    except InputError as error:
        _refuse(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        # A file or folder that the system refuses: no permission, too long a name, a drive that is gone.
        _refuse(f"{error.filename}: {error.strerror}")
    except (KeyboardInterrupt, click.Abort):
        click.echo("posetrack: stopped", err=True)
        sys.exit(130)


def _interrupt(*_: object) -> NoReturn:
    """A polite kill is treated as ctrl-C: what is done is kept."""
    raise KeyboardInterrupt
