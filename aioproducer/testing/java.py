"""Which Java is here."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess

REQUIRED_JAVA = 17


@functools.cache
def java_program() -> str | None:
    """The path of the `java` program, JAVA_HOME's before that of the PATH."""
    home = os.environ.get("JAVA_HOME")
    inside_home = shutil.which("java", path=os.path.join(home, "bin")) if home else None
    return inside_home or shutil.which("java")


@functools.cache
def java_banner() -> str:
    """What `java -version` prints, which names the exact build; empty where there is none."""
    program = java_program()
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr + done.stdout


def java_release() -> int | None:
    """The feature release: 17, 21, ...; 8 for the old "1.8" spelling; None where there is none."""
    found = re.search(r'version "(?:1\.)?(\d+)', java_banner())
    return int(found.group(1)) if found else None
