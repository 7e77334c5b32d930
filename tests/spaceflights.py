"""Copies of the project in tests/projects/spaceflights, with the credentials that Git does not carry."""

from __future__ import annotations

import shutil
from pathlib import Path

SOURCE = Path(__file__).parent / "projects" / "spaceflights"
KEY = "orbit-7"
"""What the reviews are signed with: `reviews_signature.key` in the project's credentials."""


def copy_to(folder: Path) -> Path:
    """Copy the project, data included, into a new folder and return it."""
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    credentials = folder / "conf" / "local" / "credentials.yml"
    credentials.write_text(f"reviews_signature:\n  key: {KEY}\n", encoding="utf-8")
    return folder
