"""Every command once, on a sandbox: what each combination of versions in noxfile.py must pass.

python tests/smoke.py [--spark]

Each command is a process of its own, forked from this one, which has imported what they all need: most of a
command's time goes there. `--spark` runs the starter whole, on the sandbox's cluster and then here; without
it a pipeline that needs no Spark takes its pipelines' place.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

PROFILE = "--profile=sandbox"
_HEAVY = ("kedro.framework.cli.cli", "kedro.framework.session", "databricks.sdk", "pandas", "rich.progress")
_WITHOUT_SPARK = """\
from kedro.pipeline import node, pipeline


def count(neighbours):
    return {"neighbours": neighbours}


def register_pipelines():
    return {"__default__": pipeline([node(count, "params:n_neighbors", "metrics", name="count")])}
"""
_GIT = (
    "init -q -b main",
    "add .",
    "commit -q -m First",
    "init -q --bare ../iris.git",
    "remote add origin ../iris.git",
)
# In this order; what begins with `git ` is git's, and what begins with `! ` has to fail with status 1.
_COMMANDS = (
    "--help",
    "sandbox --help",
    "sandbox start",
    "sandbox status --json",
    f"init {PROFILE} --dry-run",
    f"init {PROFILE}",
    "git add .",
    "git commit -q -m Prepared",
    f"push {PROFILE} --dry-run",
    f"push {PROFILE}",
    f"status {PROFILE}",
    f"data ls {PROFILE}",
    "catalog --env=databricks --json",
    f"run {PROFILE} --params=n_neighbors=3",
    f"runs {PROFILE}",
    f"logs {PROFILE}",
    f"attach {PROFILE}",
    f"! cancel {PROFILE}",  # it has ended
    f"pull --data {PROFILE}",
    f"data pull {PROFILE} --dry-run",
    f"data push {PROFILE} --dry-run",
    f"doctor {PROFILE} --json",
    f"notebook {PROFILE}",
    "git add .",
    "git commit -q -m Notebook",
    f"push {PROFILE}",
    f"deploy {PROFILE}",
)


def main() -> int:
    """Make the starter, run every command in it, and end the sandbox; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="smoke-") as scratch:
        _be_somebody(Path(scratch))
        for module in _HEAVY:
            import_module(module)
        os.chdir(scratch)
        _must("new --starter=pyspark-iris --name=iris")
        os.chdir("iris")
        with_spark = "--spark" in sys.argv[1:]
        if not with_spark:
            Path("src/iris/pipeline_registry.py").write_text(_WITHOUT_SPARK, encoding="utf-8")
        for command in _GIT:
            subprocess.run(["git", *command.split()], check=True)
        try:
            for command in _COMMANDS:
                _perform(command)
        finally:
            _must("databricks sandbox stop")
        if with_spark:
            _must("run")
        os.chdir("/")
    return 0


def _be_somebody(home: Path) -> None:
    """Take an environment in which nothing of this machine's user is found."""
    for name in [name for name in os.environ if name.startswith(("DATABRICKS_", "KEDRO_"))]:
        del os.environ[name]
    for role in ("AUTHOR", "COMMITTER"):
        os.environ.update({f"GIT_{role}_NAME": "Smoke", f"GIT_{role}_EMAIL": "smoke@example.com"})
    os.environ.update(
        {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "KEDRO_DATABRICKS_SANDBOX_HOME": str(home / "sandbox"),
            "KEDRO_DATABRICKS_STATE": str(home / "state"),
            "DO_NOT_TRACK": "1",
        }
    )


def _perform(command: str) -> None:
    """Run one line of _COMMANDS."""
    if command.startswith("git "):
        subprocess.run(command.split(), check=True)
    elif command.startswith("! "):
        _must(f"databricks {command[2:]}", status=1)
    else:
        _must(f"databricks {command}")


def _must(command: str, status: int = 0) -> None:
    """Run a command of `kedro` in a process of its own; end everything where it ends with another status."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _be(command, printed.fileno())
        failed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != status
        taken = time.monotonic() - begin
        sys.stdout.write(f"{'FAILED' if failed else 'ok'}  kedro {command}  {taken:.1f} s\n")
        sys.stdout.flush()
        if failed:
            printed.seek(0)
            sys.stdout.write(printed.read().decode(errors="replace"))
            raise SystemExit(1)


def _be(command: str, printed: int) -> None:
    """Become the command, in a fork."""
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        sys.argv = ["kedro", *command.split()]
        import_module("kedro.framework.cli.cli").main()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    raise SystemExit(main())
