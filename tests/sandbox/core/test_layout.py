"""Paths of requests never lead out of their root folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.core.layout import resolve, segments

NAMES = st.one_of(
    st.sampled_from(["..", ".", "", "a", "up", "out", "file", "loop", "~", "C:", "a\\b", "%2e%2e", "..."]),
    st.text(max_size=12),
    st.text(alphabet="/.\\\0 a", max_size=8),
    st.text(alphabet="é日\ud800", min_size=1, max_size=300),
)
PATHS = st.lists(NAMES, max_size=6).map("/".join).flatmap(lambda path: st.sampled_from([path, "/" + path]))


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Return a root folder with links that lead up, out, in a circle and inside."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "root"
        (made / "a").mkdir(parents=True)
        (made / "file").write_text("")
        (made / "up").symlink_to("..")
        (made / "out").symlink_to("/")
        (made / "loop").symlink_to("loop")
        (made / "in").symlink_to("a")
        yield made


@given(path=PATHS, follow=st.booleans())
@example(path="/up/secret", follow=True)
@example(path="/out/etc/passwd", follow=False)
@example(path="/a/../../x", follow=True)
def test_resolved_paths_stay_below_the_root(root: Path, path: str, follow: bool) -> None:
    """The path is below the root after links are resolved, or the API refuses it."""
    try:
        resolved = resolve(root, segments(path), follow=follow)
    except ApiError:
        return
    assert resolved.is_relative_to(root.resolve())
    # realpath, since resolve() raises on a link that leads round in Python 3.10 to 3.12
    parent = Path(os.path.realpath(resolved.parent))
    assert parent.is_relative_to(root.resolve()) or resolved == root.resolve()
    if follow:
        assert Path(os.path.realpath(resolved)).is_relative_to(root.resolve())


@given(path=PATHS)
def test_names_are_plain(path: str) -> None:
    """No name is empty, goes up, or holds a slash or a NUL."""
    try:
        names = segments(path)
    except ApiError:
        return
    assert all(name not in {"", ".", ".."} for name in names)
    assert not any("/" in name or "\0" in name for name in names)
    assert segments("/" + "/".join(names)) == names


def test_a_link_inside_of_the_root_is_followed(root: Path) -> None:
    """Links inside the root are allowed."""
    assert resolve(root, ("in", "x")) == root.resolve() / "a" / "x"
    assert resolve(root, ("in",), follow=False) == root.resolve() / "in"


@pytest.mark.parametrize("path", ["/up/x", "/out", "/out/etc/passwd", "/up/root2"])
def test_links_that_leave_are_refused(root: Path, path: str) -> None:
    """A path through a link that leads out is refused with 403."""
    with pytest.raises(ApiError) as refusal:
        resolve(root, segments(path))
    assert refusal.value.status == 403
