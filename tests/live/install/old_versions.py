"""Earlier versions of the add-on, from the history of the repository."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from dev.common import ADDON, ROOT

GIT = ("git", "-C", str(ROOT))


def unpack(version: str, folder: Path) -> Path:
    """Unpack the last commit of a version.

    If several branches changed the version afterwards, the first one counts.

    :return: an add-ons folder that contains it
    """
    wanted = f'"version": "{version}"'
    found = subprocess.run(
        [*GIT, "log", "--reverse", "--format=%H", "-S", wanted, "--", "__manifest__.py"],
        capture_output=True, text=True,
    )
    last = next(
        (
            f"{commit}^" for commit in found.stdout.split()
            if wanted in _manifest(f"{commit}^") and wanted not in _manifest(commit)
        ),
        None,
    )
    if not last:
        pytest.skip(f"the history of the repository does not reach back to {version}")
    archive = subprocess.run(
        [*GIT, "archive", last], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder / ADDON, filter="data")
    assert wanted in (folder / ADDON / "__manifest__.py").read_text()
    return folder


def _manifest(commit: str) -> str:
    """The manifest at a commit; empty if either does not exist."""
    return subprocess.run(
        [*GIT, "show", f"{commit}:__manifest__.py"], capture_output=True, text=True
    ).stdout
