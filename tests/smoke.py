"""Run every command once on a sandbox; each combination of versions in noxfile.py must pass it.

python tests/smoke.py [--spark]

Each command is forked from this process, which has already imported what they need, since imports take most
of a command's time. `--spark` runs the whole starter, on the sandbox's cluster and then locally; without it
the starter's pipelines are replaced by one that needs no Spark.
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
# In this order. Lines with `git ` are run by git; lines with `! ` must fail with exit status 1.
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
    f"! cancel {PROFILE}",  # the run has ended
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
    """Create the starter, run every command in it, and stop the sandbox; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="smoke-") as scratch:
        _isolate(Path(scratch))
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


def _isolate(home: Path) -> None:
    """Set an environment without the user's logins, settings and files."""
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
    """Run a `kedro` command in a forked process; end the script if its exit status is another one."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _run_in_fork(command, printed.fileno())
        failed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != status
        taken = time.monotonic() - begin
        sys.stdout.write(f"{'FAILED' if failed else 'ok'}  kedro {command}  {taken:.1f} s\n")
        sys.stdout.flush()
        if failed:
            printed.seek(0)
            sys.stdout.write(printed.read().decode(errors="replace"))
            raise SystemExit(1)


def _run_in_fork(command: str, printed: int) -> None:
    """Run the command in a fork and end the process."""
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
    except BaseException:  # noqa: BLE001 - a fork must not continue as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    raise SystemExit(main())
