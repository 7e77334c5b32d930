"""Steps with attacks and failures on the user's machine and in the workspace.

A command may then fail with one line, but must change only its own files, and must work afterwards.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import yaml

from tests.soak import failures, hostile
from tests.soak.campaign import NODES, SCALED
from tests.soak.processes import wait_for_no_orphans

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.soak.campaign import Campaign, User

TEAM = "07_team"
_PAIRS = "05_pairs"
_HOSTILE_VERBS = ("push", "pull", "pull --save", "data push", "data pull", "status", "runs")
_READ_ONLY_VERBS = ("push", "pull", "data push", "data pull")
_CLOCK = """\
import os, time

_calls, _after = 0, int(os.environ["CLOCK_JUMPS_AFTER"])
_time, _time_ns, _local, _utc = time.time, time.time_ns, time.localtime, time.gmtime


def _jump():
    global _calls
    _calls += 1
    return int(os.environ["CLOCK_JUMPS_BY"]) if _calls > _after else 0


time.time = lambda: _time() + _jump()
time.time_ns = lambda: _time_ns() + _jump() * 10**9
time.localtime = lambda seconds=None: _local(time.time() if seconds is None else seconds)
time.gmtime = lambda seconds=None: _utc(time.time() if seconds is None else seconds)
"""


def hostile_workspace(campaign: Campaign, user: User, chance: Random) -> None:
    """Change some answers of the workspace; the command must end properly and change only its own files."""
    mode, verb = chance.choice(hostile.MODES), chance.choice(_HOSTILE_VERBS)
    campaign.note(f"  {mode} while {verb}")
    before = _local_files(user)
    if verb.startswith("pull"):
        user.shell.ok("git push -q origin main")
    running = campaign.running()
    with hostile.proxy(urlsplit(running.host).port or 0, mode, chance) as address:
        result = user.shell.run(
            f"kedro databricks {verb}", DATABRICKS_HOST=address, DATABRICKS_TOKEN=user.token
        )
    assert "Traceback" not in result.out + result.err, str(result)
    if result.status != 0 and verb != "status":  # which shows errors in their sections
        failures.must_fail(result)
    assert _local_files(user) == before, str(result)
    failures.arrive(user, verb, surely=False)


def pairs_of_names(campaign: Campaign, user: User, chance: Random) -> None:
    """Pull files whose names begin with another file's name, in two processes at once."""
    there, here = user.data_root / _PAIRS, user.shell.folder / "data" / _PAIRS
    names = [f"m{number}.pkl{ending}" for number in range(chance.randint(1, 40)) for ending in _ENDINGS]
    contents = {name: str(chance.getrandbits(chance.choice((8, 4000)))) for name in names}
    there.mkdir(parents=True)
    for name, content in contents.items():
        (there / name).write_text(content)
    for command in [user.start(f"data pull {_PAIRS}") for _ in range(2)]:
        result = command.finish()
        assert result.status == 0, str(result)
    assert {path.name: path.read_text() for path in here.iterdir()} == contents
    shutil.rmtree(there)
    shutil.rmtree(here)


_ENDINGS = ("", ".json", ".json.gz", "_", ".0123abcd", "-part")


def links(campaign: Campaign, user: User, chance: Random) -> None:
    """Create link loops locally and in the workspace; commands end, and a local loop is named."""
    loops = {"loop": ".", "src/round": "..", "src/in": "../conf", "conf/in": "../src"}
    results = (user.data_root / SCALED.removeprefix("data/")).parent
    placed = [user.git_folder / name for name in loops] + [results / "loop"]
    for link, target in zip(placed, [*loops.values(), "."], strict=True):
        link.symlink_to(target)
    shown = json.loads(user.ok("status --json").out.splitlines()[-1])
    assert all(path.startswith(tuple(loops)) for path in shown["Git folder"]["edits"]), shown
    user.ok("data pull")
    user.history.result_is_pulled(surely=True)
    for link in placed:
        link.unlink()
    local = user.shell.folder / "data/01_raw/loop"
    local.symlink_to("../01_raw")
    refused = user.run("data push data/01_raw")
    failures.must_fail(refused)
    assert "01_raw/loop is a link to a folder above it" in refused.errors[0], str(refused)
    local.unlink()


def shared_root(campaign: Campaign, user: User, chance: Random) -> None:
    """Both users push to one data root at once; a file that both changed is refused or is one of the two."""
    folders = [each.shell.folder / "data" / TEAM for each in campaign.users]
    there = campaign.users[0].data_root.parent / "team" / TEAM
    own = {f"{number}.csv": f"{chance.getrandbits(64)}\n" for number in range(2)}
    for folder, (name, content) in zip(folders, own.items(), strict=True):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(content)
        (folder / "both.csv").write_text(f"{chance.getrandbits(64)}\n")
    mine = [(folder / "both.csv").read_text() for folder in folders]
    results = [
        command.finish()
        for command in [each.start(f"data push data/{TEAM} --env=team") for each in campaign.users]
    ]
    for result in results:
        if result.status != 0:
            failures.must_fail(result)
            assert "both.csv" in result.errors[0], str(result)
    if all(result.status for result in results):
        campaign.users[0].ok(f"data push data/{TEAM} --env=team --force")
    for each in campaign.users:
        each.ok(f"data push data/{TEAM} --env=team --theirs")
        each.ok(f"data pull {TEAM} --env=team --force")
        assert (there / "both.csv").read_text() in mine
    for each, folder in zip(campaign.users, folders, strict=True):
        each.ok(f"data pull {TEAM} --env=team --force")
        assert {path.name: path.read_text() for path in folder.iterdir()} == {
            path.name: path.read_text() for path in there.iterdir()
        }
        assert {name: (folder / name).read_text() for name in own} == own


def killed_setup(campaign: Campaign, user: User, chance: Random) -> None:
    """Kill init, deploy or pull --save, or the sandbox during it; the next command completes the work."""
    chance.choice([_killed_init, _killed_deploy, _killed_save])(campaign, user, chance)


def read_only(campaign: Campaign, user: User, chance: Random) -> None:
    """Remove the write permission of a local or remote folder; with the permission the command works."""
    verb = chance.choice(_READ_ONLY_VERBS)
    project = user.shell.folder
    folder = chance.choice(
        [
            project / "data/.kedro-hybrid",
            (project / SCALED).parent,
            project / ".git",
            user.git_folder,
            user.data_root,
            campaign.home / "scratch",
        ]
    )
    folder.mkdir(parents=True, exist_ok=True)
    campaign.note(f"  {folder.relative_to(campaign.scratch)} while {verb}")
    if verb == "pull":
        user.shell.ok("git push -q origin main")
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        result = user.run(verb)
    finally:
        folder.chmod(mode)
    failures.judge(user, verb, result)
    user.ok(verb)
    failures.arrive(user, verb, surely=True)


def clock_jump(campaign: Campaign, user: User, chance: Random) -> None:
    """Change the clock of a command while it runs."""
    patch = campaign.scratch / "clock"
    patch.mkdir(exist_ok=True)
    (patch / "sitecustomize.py").write_text(_CLOCK)
    verb = chance.choice(("push", "pull", "data push", "data pull", "status"))
    jump, after = chance.choice((-86400, -3600, 3600, 86400 * 400)), chance.randint(0, 200)
    campaign.note(f"  {jump} s after {after} looks while {verb}")
    if verb == "pull":
        user.shell.ok("git push -q origin main")
    variables = {"CLOCK_JUMPS_BY": str(jump), "CLOCK_JUMPS_AFTER": str(after), "PYTHONPATH": str(patch)}
    user.shell.ok(user.command(verb), **variables)
    failures.arrive(user, verb, surely=True)


def _killed_init(campaign: Campaign, user: User, chance: Random) -> None:
    project = user.shell.folder.parent / "newcomer"
    shutil.copytree(user.shell.folder, project, ignore=shutil.ignore_patterns("data"), symlinks=True)
    for name in ("conf/base/databricks.yml", "conf/databricks", "conf/team", "src/tiny_shop/settings.py"):
        path = project / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    newcomer = user.at(project)
    folder = f"/Repos/{user.name}/newcomer"
    try:
        for _ in range(chance.randint(1, 3)):
            _kill(campaign, newcomer, "init --yes", chance)
            for path in [*project.glob("conf/**/*.yml"), *project.glob("src/*/settings.py")]:
                text = path.read_text("utf-8")
                yaml.safe_load(text) if path.suffix == ".yml" else compile(text, str(path), "exec")
        newcomer.ok("init --yes")
        assert "Everything is already prepared" in newcomer.ok("init --yes").out
        for line in newcomer.shell.ok("git status --porcelain --untracked-files=all").out.splitlines():
            assert "/." not in line.replace("/.gitkeep", "").replace("/.gitignore", ""), line
    finally:
        shutil.rmtree(project)
    client = httpx.Client(base_url=campaign.running().host, headers={"Authorization": f"Bearer {user.token}"})
    found = client.get("/api/2.0/repos", params={"path_prefix": f"/Repos/{user.name}"}).json()["repos"]
    for repo in found:
        if repo["path"] != f"/Repos/{user.name}/shop":
            client.delete(f"/api/2.0/repos/{repo['id']}").raise_for_status()
    del folder


def _killed_deploy(campaign: Campaign, user: User, chance: Random) -> None:
    user.shell.ok("git push -q origin main")
    for _ in range(chance.randint(1, 3)):
        _kill(campaign, user, f"deploy --name=shop --tag=n={chance.randint(1, 9)}", chance)
    user.ok("deploy --name=shop")
    jobs = httpx.get(
        f"{campaign.running().host}/api/2.2/jobs/list", headers={"Authorization": f"Bearer {user.token}"}
    ).json()["jobs"]
    assert [job["settings"]["name"] for job in jobs] == ["shop"], jobs


def _killed_save(campaign: Campaign, user: User, chance: Random) -> None:
    edited = user.git_folder / NODES
    theirs = f"{edited.read_text()}# theirs {chance.getrandbits(64):x}\n"
    edited.write_text(theirs)
    before = user.shell.ok("git status --porcelain").out
    user.shell.ok("git push -q origin main")
    for _ in range(chance.randint(1, 3)):
        _kill(campaign, user, "pull --save", chance)
        user.history.code_arrives(surely=False)
        assert edited.read_text() == theirs
    user.ok("pull --force")
    user.history.code_arrives(surely=True)
    branches = user.shell.ok("git for-each-ref --format=%(refname) refs/heads/kedro-hybrid/rescued").out
    saved = [user.shell.run(f"git show {branch}:{NODES}").out for branch in branches.split()]
    assert theirs in saved, f"{theirs!r} was not saved in any of {branches}"
    assert user.shell.ok("git status --porcelain").out == before
    user.shell.ok("git fsck --no-dangling")


def _kill(campaign: Campaign, user: User, verb: str, chance: Random) -> None:
    """Kill a command, or the sandbox while it runs."""
    command = user.start(verb)
    seconds, whom = chance.uniform(0.3, 4), chance.choice(("it", "it", "the sandbox"))
    campaign.note(f"  {verb}, {whom} killed after {seconds:.2f} s")
    time.sleep(seconds)
    if whom == "it":
        command.process.kill()
        command.finish()
        wait_for_no_orphans(campaign.scratch, campaign.running().pid)
        return
    failures.restart(campaign, command.process.pid)
    result = command.finish()
    failures.lose_runs(campaign)
    if result.status != 0:
        failures.must_fail(result)


def _local_files(user: User) -> dict[str, str]:
    """Return digests of a project's files and git settings, without files that commands write."""
    project = user.shell.folder
    return {
        str(path.relative_to(project.parent)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(project.parent.rglob("*"))
        if path.is_file() and not _is_written_by_commands(path.relative_to(project.parent))
    }


def _is_written_by_commands(path: Path) -> bool:
    inside = path.as_posix()
    if "/.git/" in inside:
        return not inside.endswith((".git/config", ".git/HEAD", ".git/index")) and "/hooks/" not in inside
    return (
        inside.startswith("remote.git/")
        or inside.endswith(SCALED)
        or "/.kedro-hybrid/" in inside
        or "__pycache__" in inside
    )
