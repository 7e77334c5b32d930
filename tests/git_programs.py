"""Git settings that name a program, and a repository that makes git run each of them."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

SETTINGS = {
    "core.fsmonitor": "status",
    "core.hooksPath": "commit --allow-empty -m x",
    "core.sshCommand": "fetch ssh://127.0.0.1/x",
    "core.gitProxy": "fetch git://127.0.0.1/x",
    "core.pager": "log",
    "core.editor": "commit --allow-empty",
    "core.askPass": "credential fill",
    "core.alternateRefsCommand": "receive-pack .",
    "sequence.editor": "rebase -i --autostash --root",
    "credential.helper": "credential fill",
    "diff.external": "diff",
    "diff.evil.command": "diff",
    "diff.evil.textconv": "diff",
    "filter.evil.clean": "add x.evil",
    "filter.evil.smudge": "checkout -f HEAD~1",
    "filter.evil.process": "add x.evil",
    "merge.evil.driver": "commit -a -m x && merge side",
    "mergetool.evil.cmd": "commit -a -m x && merge side && mergetool --no-prompt --tool=evil",
    "difftool.evil.cmd": "difftool --no-prompt --tool=evil",
    "gpg.program": "commit -S --allow-empty -m x",
    "gpg.ssh.program": "-c gpg.format=ssh commit -S --allow-empty -m x",
    "gpg.x509.program": "-c gpg.format=x509 commit -S --allow-empty -m x",
    "trailer.evil.command": "interpret-trailers",
    "tar.evil.command": "archive --format=evil HEAD",
    "interactive.diffFilter": "add --patch",
    "alias.evil": "evil",
    "remote.evil.uploadpack": "fetch evil",
    "remote.evil.receivepack": "push evil HEAD:refs/heads/new",
    "remote.evil2.url": "fetch evil2",
    "submodule.inner.update": "submodule update --init",
    "init.templateDir": "clone -q . made",
    "uploadpack.packObjectsHook": "clone -q --no-local . made",
}
"""By setting, the git commands that make its program run."""

_PROTECTED = {"init.templateDir", "uploadpack.packObjectsHook"}
"""What git reads from the user's configuration alone; a repository's own must not count."""

_ON_A_TERMINAL = {"core.pager", "interactive.diffFilter"}
_GIVEN = b"protocol=http\nhost=127.0.0.1\n\n"
_PREFIXES = {**dict.fromkeys(("alias.evil", "credential.helper", "submodule.inner.update"), "!")}
_PREFIXES["remote.evil2.url"] = "ext::"
_HOOKS = ("pre-commit", "post-checkout", "post-index-change", "reference-transaction", "pre-push")


@dataclass
class Programs:
    """Programs that create a file when they run.

    Args:
        folder: The folder of the programs and of the files that they create.
    """

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()

    def ran(self) -> set[str]:
        """Return the settings whose programs ran."""
        return {path.name.removeprefix("ran ") for path in self.folder.glob("ran *")}

    def value(self, setting: str) -> str:
        """Write the program of a setting, and return the setting's value that names it."""
        text = f"#!/bin/sh\n: > '{self.folder}/ran {setting}'\nexit 1\n"
        if setting in {"core.hooksPath", "init.templateDir"}:
            folder = self.folder / f"{setting}.folder"
            for name in _HOOKS:
                write_program(folder / name if setting == "core.hooksPath" else folder / "hooks" / name, text)
            return str(folder)
        return _PREFIXES.get(setting, "") + str(write_program(self.folder / setting, text))

    def plant(self, at: Path, settings: Collection[str]) -> None:
        """Write the settings into a repository's configuration, and the hooks into the repository."""
        hooks = at / git(at, "rev-parse", "--git-path", "hooks")
        values = {
            "remote.evil.url": str(at),
            "submodule.inner.url": str(at),
            "submodule.inner.active": "true",
            "trailer.evil.key": "Evil",
            "user.signingKey": "x",
        }
        for key, value in {**values, **{setting: self.value(setting) for setting in settings}}.items():
            git(at, "config", key, value)
        if "core.hooksPath" in settings:
            shutil.copytree(self.folder / "core.hooksPath.folder", hooks, dirs_exist_ok=True)


def write_program(path: Path, text: str) -> Path:
    """Write an executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def git(at: Path, *arguments: str) -> str:
    """Run git, which must succeed."""
    done = subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(at: Path) -> Path:
    """Create a repository with attributes, an edit, conflicting branches, a submodule and an alternate."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(at)], check=True)
    git(at, "config", "user.name", "Test")
    git(at, "config", "user.email", "test@example.com")
    (at / ".gitattributes").write_text("*.evil filter=evil diff=evil merge=evil\n")
    (at / ".gitmodules").write_text('[submodule "inner"]\n\tpath = inner\n\turl = ./inner\n\tignore = none\n')
    for text, to in (("0", "main"), ("1", "side"), ("2", "main")):
        if to != "main":
            git(at, "checkout", "-q", "-b", to)
        elif text != "0":
            git(at, "checkout", "-q", to)
            git(at, "update-index", "--add", "--cacheinfo", f"160000,{git(at, 'rev-parse', 'HEAD')},inner")
        (at / "x.evil").write_text(f"{text}\n")
        git(at, "add", "x.evil", ".gitattributes", ".gitmodules")
        git(at, "commit", "-q", "-m", text)
    (at / ".git/objects/info/alternates").write_text(f"{at}.other/objects\n")
    subprocess.run(["git", "init", "-q", "--bare", f"{at}.other"], check=True)
    (at / "x.evil").write_text("3\n")  # as long as before, so that git has to read it
    return at


def provoke(at: Path, setting: str, programs: Programs) -> None:
    """Run the git commands that run the program of a setting; their results do not matter."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {**known, "TERM": "xterm", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": os.devnull}
    environment["GIT_ALLOW_PROTOCOL"] = "ext:file:git:ssh"
    if setting in _PROTECTED:
        environment["GIT_CONFIG_GLOBAL"] = str(programs.folder / "gitconfig")
        git(at, "config", "--file", environment["GIT_CONFIG_GLOBAL"], setting, programs.value(setting))
    ours, theirs = pty.openpty()
    for command in SETTINGS[setting].split(" && "):
        subprocess.run(
            ["git", *command.split()],
            cwd=at,
            input=_GIVEN,
            stdout=theirs if setting in _ON_A_TERMINAL else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            check=False,
        )
    os.close(ours)
    os.close(theirs)
