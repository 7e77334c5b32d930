"""Packages of this machine: which of them a requirement needs, and how they are linked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from kedro_databricks_hybrid.sandbox.kernel import packages, runtime
from tests.project_fixtures import write_files

if TYPE_CHECKING:
    from collections.abc import Iterable


def install(folder: Path, name: str, version: str, *needs: str, files: Iterable[str] = ()) -> None:
    """Write an installed distribution: its metadata, and modules without code."""
    info = f"{name}-{version}.dist-info"
    lines = "".join(f"Requires-Dist: {each}\n" for each in needs)
    facts = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}\nRequires-Dist: never\n"
    record = "".join(f"{each},,\n" for each in (*files, f"{info}/METADATA", f"{info}/RECORD"))
    write_files(folder, {**dict.fromkeys(files, ""), f"{info}/METADATA": facts, f"{info}/RECORD": record})


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Return a folder of installed packages."""
    folder = tmp_path / "machine" / "host" / "lib" / "python3" / "site-packages"
    install(
        folder,
        "Big_App",
        "2.0",
        "small",
        "other>=1; extra == 'more'",
        "gone; sys_platform == 'dos'",
        "bad=>1",
    )
    install(folder, "small", "1.5", "big-app")
    install(folder, "other", "1.0rc1", "absent")
    return folder


@pytest.mark.parametrize(
    ("wanted", "present", "constraints", "expected"),
    [
        ("big-app", "", [], ("big-app small", [])),
        ("BIG.app>=2,<3", "", [], ("big-app small", [])),
        ("big-app>2", "", [], ("", ["big-app>2"])),
        ("big-app @ https://example.com/x.whl", "", [], ("", ["big-app @ https://example.com/x.whl"])),
        ("other", "", [], ("other", ["absent"])),
        ("big-app[more]", "", [], ("big-app small", ["other>=1; extra == 'more'"])),
        ("big-app", "small", [], ("big-app", [])),
        ("small<1", "small", [], ("", ["small<1"])),
        ("big-app", "", ["small<1"], ("big-app", ["small"])),
        ("big-app", "", ["unused==1", "big-app==2.0"], ("big-app small", [])),
    ],
)
def test_what_a_requirement_needs(
    host: Path, wanted: str, present: str, constraints: list[str], expected: tuple[str, list[str]]
) -> None:
    """Versions, extras, conditions and constraints decide; the rest is left to pip."""
    offered = packages.installed([host, host.parent])
    found: dict[str, packages.Package] = {}
    given = {name: offered[name] for name in present.split()}
    left = packages.choose(Requirement(wanted), offered, found, given, map(Requirement, constraints))
    assert " ".join(sorted(found)) == expected[0]
    assert left == list(map(Requirement, expected[1]))


@pytest.mark.parametrize("whole", [True, False])
def test_links(host: Path, tmp_path: Path, whole: bool) -> None:
    """Programs run with the new interpreter, namespaces are shared, and nothing leaves the environment."""
    install(host, "one", "1", files=("space/one/__init__.py", "space/one/deep/x.py", "top.py"))
    install(host, "two", "1", files=("space/two/__init__.py",))
    subprocess.run([sys.executable, "-m", "compileall", "-q", host / "space"], check=True)
    programs = {"run": "#!/somewhere/bin/python3.9\nprint()\n", "tool": "#!/bin/sh\n"}
    write_files(host.parents[2] / "bin", programs)
    write_files(host.parents[3], {"outside": ""})
    with (host / "one-1.dist-info" / "RECORD").open("a") as record:
        record.write('../../../bin/run,,\n../../../bin/tool,,\n../../../../outside,,\n"missing,file",,\n')
    target = tmp_path / "environment" / "lib" / "python3" / "site-packages"
    offered = packages.installed([host])
    created = [
        path for name in ("one", "two") for path in packages.link(offered[name], target, "/new", whole=whole)
    ]
    assert (target.parents[2] / "bin" / "run").read_text() == "#!/new\nprint()\n"
    assert os.access(target.parents[2] / "bin" / "run", os.X_OK)
    assert (target.parents[2] / "bin" / "tool").readlink() == host.parents[2] / "bin" / "tool"
    assert (target / "space" / "one").is_symlink() is whole
    assert (target / "space" / "one" / "deep" / "x.py").is_file()
    assert (target / "top.py").readlink() == host / "top.py"
    assert list((target / "space" / "one" / "deep" / "__pycache__").iterdir())
    assert not (target / "space").is_symlink()
    assert not (tmp_path / "environment" / "outside").exists()
    assert not (target.parents[3] / "outside").exists()
    assert packages.link(offered["one"], target, "/new", whole=whole) == []
    assert packages.installed([target]).keys() == {"one", "two"}
    assert all(path.is_relative_to(target.parents[2]) for path in created)


def test_a_distribution_without_a_list_of_files(tmp_path: Path) -> None:
    """Operating systems install such ones: a folder or a file of metadata, and the modules."""
    info = {"old-1.egg-info/PKG-INFO": "Name: old\n", "old-1.egg-info/top_level.txt": "old\nolder\n"}
    write_files(
        tmp_path, {**info, "old/__init__.py": "", "older.py": "", "bare.py": "", "bare-2.egg-info": ""}
    )
    found = packages.installed([tmp_path])
    assert set(found["old"].files()) == {*info, "old/__init__.py", "older.py"}
    assert set(found["bare"].files()) == {"bare-2.egg-info", "bare.py"}
    assert found["old"].requirements() == []


def test_programs_are_copied_from_where_pip_compiled_modules(tmp_path: Path) -> None:
    """Python programs get the other interpreter; links and the folder of compiled modules stay behind."""
    programs, copies = tmp_path / "runtime/bin", tmp_path / "copies"
    write_files(programs, {"tool": "#!/old/bin/python\nrun()\n", "__pycache__/tool.pyc": ""})
    (programs / "spark-submit").symlink_to("/bin/true")
    copies.mkdir()
    runtime.copy_programs(programs.parent, copies, "/new/bin/python")
    assert {file.name: file.read_text() for file in copies.iterdir()} == {
        "tool": "#!/new/bin/python\nrun()\n"
    }
