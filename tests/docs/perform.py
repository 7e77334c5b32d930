"""`python -m tests.docs.perform`: run the tutorial on a new sandbox, and write its output into the page."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.console import TUTORIAL, perform, rewritten, steps
from tests.docs.pictures import draw
from tests.e2e.commands import Shell


def main() -> None:
    """Perform every step; write the page only if all of them succeed."""
    page = TUTORIAL.read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
        scratch = Path(folder).resolve()
        person = {
            "HOME": str(scratch),
            "DO_NOT_TRACK": "1",
            **{
                f"GIT_{role}_{what}": f"me{suffix}"
                for role in ("AUTHOR", "COMMITTER")
                for what, suffix in (("NAME", ""), ("EMAIL", "@example.com"))
            },
        }
        shell = Shell(scratch, scratch / "sandbox", person, patience=1200)
        printed = []
        try:
            for step in steps(page):
                began = time.monotonic()
                printed.append(perform(step, shell))
                sys.stdout.write("\n".join([f"$ {step.text}", *printed[-1], ""]))
                sys.stdout.write(f"# {time.monotonic() - began:.1f} s\n")
                sys.stdout.flush()
        finally:
            shell.folder = scratch / "iris-databricks"
            shell.run("kedro databricks sandbox stop")
    TUTORIAL.write_text(rewritten(page, printed), encoding="utf-8")
    draw((step.text, lines) for step, lines in zip(steps(page), printed, strict=True))


if __name__ == "__main__":
    os.environ.pop("DATABRICKS_CONFIG_PROFILE", None)
    main()
