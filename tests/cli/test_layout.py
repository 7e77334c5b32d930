"""The data root, code folder and compute that init chooses for each kind of workspace, and its errors."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.service.catalog import VolumeType

from kedro_databricks_hybrid.databricks import silence, workspace
from kedro_databricks_hybrid.databricks.silence import Limits
from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.core.workspace_kinds import KINDS

if TYPE_CHECKING:
    from tests.site import Site

HOME = "/Workspace/Users/user@example.com/tiny-shop"
PROPOSED = "workspace.default.tiny-shop"


@pytest.fixture
def newcomer(stranger: Site) -> Site:
    """Return a project that is not prepared for Databricks, on a Free Edition workspace."""
    stranger.sandbox.like = "free-edition"
    return stranger


def settings(site: Site, env: str) -> str:
    """Return the content of a databricks.yml without its comments."""
    lines = (site.project / f"conf/{env}/databricks.yml").read_text().splitlines()
    return "\n".join(line for line in lines if not line.strip().startswith("#"))


def volumes(site: Site, catalog: str = "workspace") -> list[str]:
    """Return the names of the volumes in a catalog's default schema."""
    return [str(each.name) for each in site.workspace().client.volumes.list(catalog, "default")]


def refusal(site: Site, *command: str) -> str:
    """Return the error of a command that fails, after checking that it wrote nothing anywhere."""
    said = site.call(*command, status=1).output.strip().splitlines()
    assert site.git("status", "--porcelain") == ""
    assert not (site.sandbox.layout.workspace / "Users" / "user@example.com" / "tiny-shop").exists()
    assert [line for line in said if line.startswith("Error: ")] == said[-1:]
    return said[-1]


def refuse_volumes(monkeypatch: pytest.MonkeyPatch, site: Site, code: str, message: str) -> None:
    """Make the workspace refuse to create volumes."""

    async def create(*_: object) -> None:
        raise ApiError(403 if code == "PERMISSION_DENIED" else 400, code, message)

    monkeypatch.setattr(site.sandbox.unity_catalog, "create", create)


def test_on_free_edition(newcomer: Site) -> None:
    """On Free Edition init creates a volume, puts the code into the home folder and chooses serverless."""
    said = newcomer.call("init", "--yes").output
    assert f"Created the volume {PROPOSED}" in said
    assert settings(newcomer, "databricks") == "data:\n  root: /Volumes/workspace/default/tiny-shop"
    assert "folder: /Workspace/Users/{user}/{project}" in settings(newcomer, "base")
    assert "cluster: serverless" in settings(newcomer, "base")
    assert volumes(newcomer) == ["tiny-shop"]
    assert f"Created the Git folder {HOME} from" in said
    newcomer.commit({}, "Prepared")
    pushed = newcomer.call("push").output
    assert f"Databricks has {newcomer.repository.head()} on main in {HOME}" in pushed
    assert "Everything is already prepared" in newcomer.call("init").output
    newcomer.call("status")


def test_on_a_standard_workspace(stranger: Site) -> None:
    """The volume is in the default catalog; no compute is written, since there are clusters."""
    stranger.sandbox.like = "standard"
    stranger.call("init", "--yes")
    assert settings(stranger, "databricks") == "data:\n  root: /Volumes/main/default/tiny-shop"
    assert "folder: /Workspace/Users/{user}/{project}" in settings(stranger, "base")
    assert "cluster" not in settings(stranger, "base")


@pytest.mark.parametrize(
    "answer", ["", "workspace.default.mine", "/Volumes/workspace/default/mine/{project}"]
)
@pytest.mark.usefixtures("at_a_terminal")
def test_a_person_is_asked(newcomer: Site, answer: str) -> None:
    """Enter accepts the default; the answer may be a volume or a data root; invalid ones are asked again."""
    said = newcomer.call("init", input=f"nonsense\n{answer}\n").output
    assert "[/Volumes/workspace/default/tiny-shop]" in said
    assert "'nonsense' does not name a volume" in said
    root = {
        "": "/Volumes/workspace/default/tiny-shop",
        "workspace.default.mine": "/Volumes/workspace/default/mine/{project}/data",
    }.get(answer, answer)
    assert settings(newcomer, "databricks") == f"data:\n  root: {root}"


def test_a_program_is_not_asked(newcomer: Site) -> None:
    """Without a terminal, the error says to use --yes, and nothing is written or created."""
    said = newcomer.call("init", status=1).output
    assert "Use --yes for /Volumes/workspace/default/tiny-shop" in said
    assert newcomer.git("status", "--porcelain") == ""
    assert volumes(newcomer) == []


def test_without_a_data_root_push_and_run_name_init(newcomer: Site) -> None:
    """Without a data root, push and run say to run init; a push of only the code needs none."""
    for command in ("push", "run"):
        assert (
            "`kedro databricks init --yes` takes the default one." in newcomer.call(command, status=1).output
        )
    assert newcomer.git("ls-remote", "origin") == ""
    newcomer.call("push", "--no-data")


@pytest.mark.usefixtures("at_a_terminal")
def test_push_asks_a_person(newcomer: Site) -> None:
    """Push at a terminal creates the volume and writes the file, and says to commit it."""
    said = newcomer.call("push", input="\n", status=1).output
    assert "Wrote conf/databricks/databricks.yml: data.root is /Volumes/workspace/default/tiny-shop" in said
    assert "Commit conf/base/databricks.yml and conf/databricks/databricks.yml, then" in said
    assert volumes(newcomer) == ["tiny-shop"]
    newcomer.commit({}, "Data root")
    newcomer.call("push")


@pytest.mark.parametrize("option", ["--data-root=/Volumes/main/default/data/x", "--volume=main.default.data"])
def test_an_option_wins_over_what_is_written(site: Site, option: str) -> None:
    """An option overrides the setting in the file, whose comments stay; both values are printed."""
    file = site.project / "conf/databricks/databricks.yml"
    site.commit({"conf/databricks/databricks.yml": "# Ours.\ndata:\n  root: dbfs:/root/x  # old\n"})
    said = site.call("init", option).output
    root = "/Volumes/main/default/data/x" if "root" in option else "/Volumes/main/default/data/{project}/data"
    assert f"data.root is {root} and was dbfs:/root/x" in said
    assert file.read_text() == f"# Ours.\ndata:\n  root: {root}  # old\n"
    assert site.git("diff", "--name-only") == ".gitignore\nconf/databricks/databricks.yml\nrequirements.txt"


def test_a_root_that_cannot_be_used_is_refused_before_anything_is_written(newcomer: Site) -> None:
    """An unusable data root, from an option or file, is refused before anything is written."""
    said = newcomer.call("init", "--data-root=dbfs:/root/x", status=1).output
    assert "Public DBFS root is disabled" in said
    assert "--volume=<catalog>.<schema>.<volume>" in said
    newcomer.commit({"conf/databricks/databricks.yml": "data:\n  root: dbfs:/root/x\n"})
    assert "Public DBFS root is disabled" in newcomer.call("init", status=1).output
    assert newcomer.git("status", "--porcelain") == ""


def test_a_git_folder_at_the_guides_place_is_used(stranger: Site) -> None:
    """An existing Git folder of this repository at the guide's path is used for the code."""
    stranger.call("push", "--no-data")
    stranger.sandbox.like = "standard"
    said = stranger.call("init", "--yes").output
    assert f"{stranger.path} is already a Git folder of this repository" in said
    assert "folder: /Workspace/Repos/{user}/{project}" in settings(stranger, "base")
    assert "Created the Git folder" not in said


def test_without_unity_catalog_and_dbfs_a_volume_is_needed(stranger: Site) -> None:
    """Without Unity Catalog and DBFS root init has no default: it fails with the reason."""
    stranger.sandbox.public_dbfs_root = False
    said = stranger.call("init", "--yes", status=1).output
    assert "has no Unity Catalog, and its DBFS root is disabled" in said
    assert stranger.git("status", "--porcelain") == ""


@pytest.mark.parametrize("option", ["--volume=a.b", "--data-root=relative"])
def test_an_option_that_is_no_data_root(newcomer: Site, option: str) -> None:
    """A value that names neither a volume nor a data root is refused with the forms that it may have."""
    said = newcomer.call("init", "--yes", option, status=2).output.splitlines()[-1]
    value = option.partition("=")[2]
    assert said.startswith(f"Error: {value!r} does not name a volume. Write <catalog>.<schema>.<volume>, ")
    assert said.endswith("or a path: /Volumes/<catalog>/<schema>/<volume> or dbfs:/<folder>.")


@pytest.mark.parametrize(
    ("volume", "hint"),
    [
        ("nowhere.default.x", "GRANT USE CATALOG ON CATALOG nowhere TO `user@example.com`"),
        ("workspace.nowhere.x", "CREATE SCHEMA workspace.nowhere"),
    ],
)
def test_a_missing_catalog_or_schema(newcomer: Site, volume: str, hint: str) -> None:
    """A missing catalog or schema: the hint says how to get it, and nothing is written."""
    said = refusal(newcomer, "init", f"--volume={volume}")
    assert "does not exist" in said
    assert hint in said


@pytest.mark.parametrize(
    ("deleted", "hint"),
    [
        ("catalogs/workspace", "ask for GRANT USE CATALOG ON CATALOG workspace TO `user@example.com`"),
        ("schemas/workspace.default", "Create it (CREATE SCHEMA workspace.default)"),
    ],
)
def test_the_proposed_catalog_or_schema_is_hidden(newcomer: Site, deleted: str, hint: str) -> None:
    """The default catalog or schema does not exist or is hidden: the hint says how to get it."""
    api = newcomer.workspace().client.api_client
    api.do("DELETE", f"/api/2.1/unity-catalog/{deleted}", query={"force": "true"})
    assert hint in refusal(newcomer, "init", "--yes")


def test_no_catalog_is_visible(newcomer: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No catalog for data is visible: the error says what to ask the administrator for."""
    kind = replace(newcomer.sandbox.kind, objects=(("system",),))
    monkeypatch.setitem(KINDS, "free-edition", kind)
    api = newcomer.workspace().client.api_client
    api.do("DELETE", "/api/2.1/unity-catalog/catalogs/workspace", query={"force": "true"})
    api.do("DELETE", "/api/2.1/unity-catalog/catalogs/main", query={"force": "true"})
    assert (
        "you can see no catalog for the data. Ask for USE CATALOG on one, then name a volume: --volume="
        in refusal(newcomer, "init", "--yes")
    )


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        (
            "/api/2.1/unity-catalog/volumes/*",
            "User does not have READ VOLUME on Volume 'workspace.default.tiny-shop'.",
            "Ask for GRANT READ VOLUME ON VOLUME workspace.default.`tiny-shop` TO `user@example.com`",
        ),
        ("/api/2.0/fs/directories/*", None, "Ask for write access to it"),
    ],
)
def test_a_volume_that_cannot_be_read(newcomer: Site, path: str, message: str | None, hint: str) -> None:
    """A volume cannot be read: the error names the grant that Databricks names, and nothing is written."""
    newcomer.workspace().client.volumes.create("workspace", "default", "tiny-shop", VolumeType.MANAGED)
    rule = {"message": message} if message else {}
    newcomer.sandbox.faults.add("status", path=path, times=0, status=403, **rule)
    said = refusal(newcomer, "init", "--yes")
    assert hint in said
    assert (message or "Could not use /Volumes/workspace/default/tiny-shop") in said


def test_a_volume_that_cannot_be_written(newcomer: Site) -> None:
    """A volume cannot be written: push of data fails with one line that names the grant."""
    newcomer.call("init", "--yes")
    newcomer.commit({}, "Prepared")
    message = "User does not have WRITE VOLUME on Volume 'workspace.default.tiny-shop'."
    newcomer.sandbox.faults.add(
        "status", method="PUT", path="/api/2.0/fs/*", times=0, status=403, message=message
    )
    said = newcomer.call("push", status=1).output
    assert f"{message} Ask for GRANT WRITE VOLUME ON VOLUME workspace.default.`tiny-shop`, or set" in said


@pytest.mark.parametrize(
    ("status", "message"),
    [(400, "The daily quota of serverless compute is reached."), (429, "The limit of 5 tasks is reached.")],
)
def test_a_run_at_a_quota_or_limit(
    newcomer: Site, monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    """A run at a quota or limit: the error says to wait, and no run log is created."""
    newcomer.call("init", "--yes")
    newcomer.commit({}, "Prepared")
    newcomer.call("push")
    monkeypatch.setattr(workspace, "_RETRY_SECONDS", 1)
    monkeypatch.setattr(silence, "LIMITS", Limits(first=0.3))
    newcomer.sandbox.faults.add(
        "status", path="/api/2.2/jobs/runs/submit", times=0, status=status, retry_after=0, message=message
    )
    *before, said = newcomer.call("run", status=1).output.strip().splitlines()
    busy = (
        rf"Note: Databricks has not accepted the request for \d s \({message}\); giving up after 5 minutes\."
    )
    assert re.search(busy, "\n".join(before)) or status == 400
    assert said.startswith("Error: Could not submit a run as a job on serverless compute: ")
    assert said.endswith(
        f"{message} Wait until other runs have ended or the quota is renewed, then run again."
    )
    assert list(newcomer.sandbox.layout.volumes.rglob("runs/*")) == []


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (
            "PERMISSION_DENIED",
            "User does not have CREATE VOLUME on Schema 'workspace.default'.",
            "Ask for GRANT CREATE VOLUME ON SCHEMA workspace.default TO `user@example.com`",
        ),
        (
            "PERMISSION_DENIED",
            "Access denied",
            "and for GRANT USE SCHEMA, CREATE VOLUME ON SCHEMA workspace.default, TO `user@example.com`",
        ),
        (
            "TABLE_ALREADY_EXISTS",
            "Table 'workspace.default.tiny-shop' already exists",
            "Rename or drop what has that name",
        ),
        ("QUOTA_EXCEEDED", "Cannot create 1 Volume(s): estimated count exceeds 10000", "Drop a volume"),
    ],
)
def test_a_volume_that_cannot_be_created(
    newcomer: Site, monkeypatch: pytest.MonkeyPatch, code: str, message: str, hint: str
) -> None:
    """A volume cannot be created: the error has Databricks' message and a hint; nothing is written."""
    refuse_volumes(monkeypatch, newcomer, code, message)
    said = refusal(newcomer, "init", "--yes")
    assert message in said
    assert hint in said


def test_a_dry_run_prints_the_calls(newcomer: Site) -> None:
    """`init --dry-run` prints the API calls and creates nothing."""
    said = newcomer.call("init", "--yes", "--dry-run").output
    assert f"Would call POST /api/2.1/unity-catalog/volumes for {PROPOSED}" in said
    assert "+  root: /Volumes/workspace/default/tiny-shop" in said
    assert volumes(newcomer) == []
