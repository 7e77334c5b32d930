"""databricks.yml: defaults, base and env, and the error for each invalid value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.project import settings
from kedro_databricks_hybrid.project.settings import Code, Compute, Data, Settings
from tests.project_fixtures import write_files

if TYPE_CHECKING:
    from pathlib import Path


def test_a_project_without_the_file_follows_the_guide(tmp_path: Path) -> None:
    """Without the file, the Git folder is the guide's, and there is no data root and no cluster."""
    assert settings.load(tmp_path / "conf") == Settings(
        Code("/Workspace/Repos/{user}/{project}", "git", "origin", None),
        Data("data", None),
        Compute(None),
    )


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "code:\ndata:\n", "{}"])
def test_an_empty_file_is_no_file(tmp_path: Path, text: str) -> None:
    """An empty file, comments or empty sections give the defaults."""
    write_files(tmp_path, {"conf/base/databricks.yml": text})
    assert settings.load(tmp_path / "conf") == Settings()


def test_the_envs_file_lies_over_the_base(tmp_path: Path) -> None:
    """The env overrides single settings of the base, not whole sections."""
    write_files(
        tmp_path,
        {
            "conf/base/databricks.yml": "code: {remote: upstream}\ncompute: {cluster: small}",
            "conf/prod/databricks.yml": "code: {folder: /Repos/prod/x}\ncompute: {cluster: big}",
        },
    )
    assert settings.load(tmp_path / "conf", "prod") == Settings(
        code=Code(folder="/Repos/prod/x", remote="upstream"), compute=Compute("big")
    )
    assert settings.load(tmp_path / "conf") == Settings(
        code=Code(remote="upstream"), compute=Compute("small")
    )


def test_an_env_can_take_a_cluster_away(tmp_path: Path) -> None:
    """An env can set the cluster to null."""
    write_files(
        tmp_path,
        {
            "conf/base/databricks.yml": "compute: {cluster: small}",
            "conf/prod/databricks.yml": "compute: {cluster: null}",
        },
    )
    assert settings.load(tmp_path / "conf", "prod").compute == Compute(None)


def test_a_job_cluster_is_told_in_the_apis_own_words(tmp_path: Path) -> None:
    """job_cluster takes any fields of the API's new_cluster; an env replaces it as a whole."""
    write_files(
        tmp_path,
        {
            "conf/base/databricks.yml": "compute: {job_cluster: {num_workers: 2, spark_version: 17.3.x}}",
            "conf/prod/databricks.yml": "compute: {job_cluster: {num_workers: 8}}\njob: {tags: {team: a}}",
        },
    )
    assert settings.load(tmp_path / "conf").compute.job_cluster == {
        "num_workers": 2,
        "spark_version": "17.3.x",
    }
    prod = settings.load(tmp_path / "conf", "prod")
    assert (prod.compute.job_cluster, prod.job.tags) == ({"num_workers": 8}, {"team": "a"})


def test_the_conf_folder_may_lie_elsewhere(tmp_path: Path) -> None:
    """conf_source selects another conf folder."""
    write_files(tmp_path, {"other/base/databricks.yml": "data: {local: files}"})
    assert settings.load(tmp_path / "other").data.local == "files"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code: {foldr: /Repos/x}", r"code\.foldr is not a setting\. Did you mean code\.folder\?"),
        ("cod: {}", r"cod is not a setting\. Did you mean code\?"),
        ("cluster: small", r"cluster is not a setting\. Did you mean compute\.cluster\?"),
        ("data: {zzz: 1}", r"data\.zzz is not a setting\. It can contain data\.folders, data\.local"),
        ("code: /Repos/x", r"code must contain settings such as code\.folder, not '/Repos/x'"),
        ("- a", r"must contain the sections code, data, compute"),
        ("compute: {cluster: 1234}", r"compute\.cluster must be text, not 1234\. Put it in quotation marks"),
        ("data: {local: null}", r"data\.local must be text, not None"),
        ("data: {local: ' '}", r"data\.local is ' ', but must not be empty"),
        ("compute: {environment_version: v4}", r"environment_version is 'v4', but it must be a whole number"),
        ("code: {sync: rsync}", r"it must be git or files"),
        ("code: {job_source: svn}", r"it must be git_folder or git_source"),
        ("compute: {job_cluster: big}", r"compute\.job_cluster must be a mapping of settings, not 'big'"),
        ("job: {schedul: x}", r"job\.schedul is not a setting\. Did you mean job\.schedule\?"),
        ("data: {root: s3://bucket/x}", r"it must be dbfs:/<folder> or /Volumes/"),
        ("data: {root: /dbfs/x}", r"it must be dbfs:/<folder> or /Volumes/"),
        ("data: {root: 'dbfs:/'}", r"it must be dbfs:/<folder>"),
        ("data: {root: 'dbfs://x/y'}", r"it must be dbfs:/<folder>"),
        ("data: {root: /Volumes/main/shop}", r"/Volumes/<catalog>/<schema>/<volume>"),
        ("data: {root: 'dbfs:/a/../b'}", r"it must not contain \.\."),
        ("data: {root: 'dbfs:/a/{team}'}", r"\{team\} is not a placeholder"),
        ("code: {folder: /dbfs/x}", r"it must start with /Workspace/, /Repos/ or /Users/"),
        ("code: {folder: /Workspace/../etc}", r"it must not contain \.\."),
        ("data: {local: ../data}", r"it must not contain \.\."),
        ("data: {local: /data}", r"a folder inside the project"),
        ("data: {local: 'C:\\data'}", r"a folder inside the project"),
        ("data: {local: .}", r"it must not be the project's folder itself"),
        ("data: {folders: raw}", r"data\.folders must be a list of folders, not 'raw'"),
        ("data: {folders: [1]}", r"data\.folders must be a list of folders"),
        ("data: {folders: [/raw]}", r"'/raw' must be the path of a folder, relative to the project"),
        ("data: {folders: [..]}", r"'\.\.' must be the path of a folder"),
        ("data: {folders: [raw, ../raw]}", r"two folders called 'raw' would be one in the data root"),
        ("secrets: {scope: '{team}'}", r"\{team\} is not a placeholder"),
        ("code: [", r"not valid YAML \(line 1\)"),
        ("compute: {cluster: '${oc.env:NOT_SET_HERE}'}", r"cannot be resolved: .*NOT_SET_HERE"),
    ],
)
def test_what_is_no_setting_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """The error names the file, the setting and what is allowed."""
    write_files(tmp_path, {"conf/base/databricks.yml": text})
    with pytest.raises(SettingsError, match=said) as caught:
        settings.load(tmp_path / "conf")
    assert "conf/base/databricks.yml" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "host: https://example.cloud.databricks.com",
        "token: dapi-made-up",
        "code: {token: abc-made-up}",
        "compute: {access_token: abc-made-up}",
        "compute: {password: abc-made-up}",
        "auth: {client_secret: abc-made-up}",
        "compute: {cluster: 'https://example.com/abc-made-up'}",
        "compute: {cluster: dapi0123456789abcdef0123}",
    ],
)
def test_logins_are_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    """A login in the file is refused, and the error does not repeat it."""
    write_files(tmp_path, {"conf/base/databricks.yml": text})
    with pytest.raises(SettingsError, match=r"profile of ~/\.databrickscfg") as caught:
        settings.load(tmp_path / "conf")
    assert "made-up" not in str(caught.value)
    assert "dapi0" not in str(caught.value)


def test_environment_variables_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oc.env reads environment variables, with defaults, and its resolver is not left registered."""
    OmegaConf.clear_resolver("oc.env")
    monkeypatch.setenv("MY_CLUSTER", "mine")
    write_files(
        tmp_path,
        {
            "conf/base/databricks.yml": """\
                compute: {cluster: "${oc.env:MY_CLUSTER}"}
                code: {remote: "${oc.env:NO_SUCH_REMOTE,up}"}
                """
        },
    )
    loaded = settings.load(tmp_path / "conf")
    assert (loaded.compute.cluster, loaded.code.remote) == ("mine", "up")
    assert not OmegaConf.has_resolver("oc.env")


def test_a_login_from_the_environment_is_refused_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that comes from an environment variable is refused too."""
    monkeypatch.setenv("MY_CLUSTER", "https://made-up.example.com")
    write_files(tmp_path, {"conf/base/databricks.yml": "compute: {cluster: '${oc.env:MY_CLUSTER}'}"})
    with pytest.raises(SettingsError, match="login"):
        settings.load(tmp_path / "conf")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """A file that is not UTF-8 is an error that names the file."""
    write_files(tmp_path, {"conf/base/": ""})
    (tmp_path / "conf/base/databricks.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"databricks\.yml cannot be read"):
        settings.load(tmp_path / "conf")


def test_the_default_env_is_the_one_that_init_makes(tmp_path: Path) -> None:
    """The default env is `databricks` if the project has it, else None."""
    assert settings.default_env(tmp_path / "conf") is None
    write_files(tmp_path, {"conf/databricks/": ""})
    assert settings.default_env(tmp_path / "conf") == "databricks"


def test_an_env_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """The error names the nearest env, else all envs, or the command that creates the env."""
    write_files(tmp_path, {"conf/base/": "", "conf/prod/": ""})
    settings.require_env(tmp_path / "conf", "prod")
    with pytest.raises(SettingsError, match=r"There is no env prdo: .*conf/prdo .*Did you mean prod\?"):
        settings.require_env(tmp_path / "conf", "prdo")
    with pytest.raises(SettingsError, match="This project has the envs base, prod"):
        settings.require_env(tmp_path / "conf", "zzz")
    with pytest.raises(SettingsError, match="kedro databricks init"):
        settings.require_env(tmp_path / "conf", "databricks")


def test_the_projects_name_has_dashes() -> None:
    """Underscores of the package's name become dashes in the project's name."""
    assert settings.project_name("iris_databricks") == "iris-databricks"


def test_placeholders_are_filled() -> None:
    """User, project and branch can all be used in one path."""
    filled = settings.fill("/Repos/{user}/{project}/{branch}", user="a@b.c", project="p", branch="f/x")
    assert filled == "/Repos/a@b.c/p/f/x"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("/Repos/{user}/x", "needs the user"),
        ("/Repos/{branch}", "needs the branch"),
        ("/Repos/{who}", r"unknown placeholder \{who\}"),
        ("/Repos/{}", r"unknown placeholder \{\}"),
    ],
)
def test_a_placeholder_without_a_value_is_refused(template: str, said: str) -> None:
    """A placeholder without a value, or an unknown one, is an error."""
    with pytest.raises(SettingsError, match=said):
        settings.fill(template, project="p")


@given(st.text(), st.text(min_size=1))
def test_values_are_put_in_as_they_are(around: str, user: str) -> None:
    """Values that look like placeholders are inserted as text."""
    plain = around.replace("{", "").replace("}", "")
    assert settings.fill(f"{plain}{{user}}{plain}", user=user, project="p") == plain + user + plain


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(["code", "data", "compute", "root", "folder", "x"]), inner, max_size=3
            )
            | st.lists(inner, max_size=2)
        ),
        max_leaves=6,
    )
)
def test_anything_else_is_a_settings_error(content: object) -> None:
    """Any YAML content gives settings or a SettingsError, never another exception."""
    import json

    try:
        parsed = settings.parse(json.dumps(content), where="databricks.yml")
    except SettingsError:
        return
    assert isinstance(settings.merge(parsed), Settings)


def test_options_for_pip_hold_no_login() -> None:
    """pip_options accepts an index with secret references; a plain login is refused and not printed."""
    good = "--index-url https://{{secrets/pip/user}}:{{secrets/pip/token}}@host/simple"
    text = f'compute:\n  pip_options: "{good}"\n'
    assert settings.merge(settings.parse(text, where="databricks.yml")).compute.pip_options == good
    bad = 'compute:\n  pip_options: "--index-url https://me:hush@host/simple"\n'
    with pytest.raises(SettingsError, match="must come from secrets") as refused:
        settings.parse(bad, where="databricks.yml")
    assert "hush" not in str(refused.value)
