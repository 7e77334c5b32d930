"""Editing settings.py: usual forms get our config loader, unusual ones are left unchanged with a reason."""

from __future__ import annotations

import pytest

from kedro_databricks_hybrid.project.settings_py import CannotEditError, uses_loader, with_loader

TEMPLATE = '''"""Project settings."""

# from kedro.config import OmegaConfigLoader
# CONFIG_LOADER_CLASS = OmegaConfigLoader

CONFIG_LOADER_ARGS = {
    "base_env": "base",
}
'''
EXPLICIT = '''"""Project settings."""
from iris.hooks import SparkHooks  # noqa: E402

HOOKS = (SparkHooks(),)

from kedro.config import OmegaConfigLoader  # noqa: E402

CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "config_patterns": {"spark": ["spark*", "spark*/**"]},
}
'''


STILL_NEEDED = """from kedro.config import OmegaConfigLoader
CONFIG_LOADER_CLASS = OmegaConfigLoader
OTHER = OmegaConfigLoader
"""


REPLACED = """from kedro.config import (  # noqa: E402
    OmegaConfigLoader,  # own
)
CONFIG_LOADER_CLASS = OmegaConfigLoader  # type: ignore
"""


def test_comments_of_replaced_lines_stay() -> None:
    """Comments of replaced lines, such as noqa, are kept."""
    assert with_loader(REPLACED).splitlines() == [
        "from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader  # noqa: E402  # own",
        "CONFIG_LOADER_CLASS = DatabricksConfigLoader  # type: ignore",
    ]


def names_after(source: str) -> dict[str, object]:
    """Run a settings.py, with a stand-in for the module of its hooks, and return its names."""
    space: dict[str, object] = {"SparkHooks": object}
    lines = [line for line in source.splitlines() if "iris.hooks" not in line]
    exec("\n".join(lines), space)  # noqa: S102 - it is ours
    return space


@pytest.mark.parametrize(
    "source",
    [
        "",
        '"""Only a docstring."""',
        TEMPLATE,
        EXPLICIT,
        "import os\nfrom kedro.config import (\n    ConfigLoader,\n    OmegaConfigLoader,\n)\n"
        "CONFIG_LOADER_CLASS = OmegaConfigLoader\n".replace(
            "    ConfigLoader,\n", "    AbstractConfigLoader,\n"
        ),
        "from kedro.config import OmegaConfigLoader\n\nCONFIG_LOADER_CLASS: type = OmegaConfigLoader\n",
        "from __future__ import annotations\n\nX = 1\n",
        STILL_NEEDED,
        "from kedro.config import *\nCONFIG_LOADER_CLASS = OmegaConfigLoader\n",
        "from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader\n" + STILL_NEEDED,
        "from kedro.config import OmegaConfigLoader; X = 1\nCONFIG_LOADER_CLASS = OmegaConfigLoader\n",
    ],
)
def test_usual_forms(source: str) -> None:
    """After the edit the loader is ours and the file runs; a second edit changes nothing."""
    edited = with_loader(source)
    assert uses_loader(edited)
    assert names_after(edited)["CONFIG_LOADER_CLASS"].__name__ == "DatabricksConfigLoader"  # type: ignore[attr-defined]
    assert with_loader(edited) == edited


def test_everything_else_stays() -> None:
    """Comments, hooks and arguments are kept, and imports that are no longer used are removed."""
    edited = with_loader(EXPLICIT)
    assert "from iris.hooks import SparkHooks  # noqa: E402\n\nHOOKS = (SparkHooks(),)" in edited
    assert '"config_patterns": {"spark": ["spark*", "spark*/**"]}' in edited
    assert "OmegaConfigLoader" not in edited
    assert [line for line in TEMPLATE.splitlines() if line not in with_loader(TEMPLATE).splitlines()] == []


def test_windows_line_endings_stay() -> None:
    """A file with Windows line endings keeps them in every line."""
    edited = with_loader(EXPLICIT.replace("\n", "\r\n"))
    assert edited.count("\n") == edited.count("\r\n")
    assert uses_loader(edited)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("from x import Mine\nCONFIG_LOADER_CLASS = Mine\n", "a custom loader"),
        ("import os\nif os.name:\n    CONFIG_LOADER_CLASS = 1\n", "inside a block"),
        ("A = 1\nCONFIG_LOADER_CLASS = A\nCONFIG_LOADER_CLASS = A\n", "more than once"),
        ("def broken(:\n", "not valid Python"),
        ("import kedro.config\nCONFIG_LOADER_CLASS = kedro.config.OmegaConfigLoader\n", "a custom loader"),
        (f"{STILL_NEEDED}A = CONFIG_LOADER_CLASS = OmegaConfigLoader\n", "more than once"),
        ("from kedro.config import OmegaConfigLoader as O\nA = CONFIG_LOADER_CLASS = O\n", "a custom loader"),
        (STILL_NEEDED.replace("Loader\nOTHER", "Loader; OTHER"), "something else in one line"),
        (STILL_NEEDED.replace("\nCONFIG", "\nOTHER = CONFIG"), "something else in one line"),
        ('import os; TEXT = """\nof several lines\n"""\n', "in an unusual way"),
    ],
)
def test_unusual_forms_are_not_changed(source: str, reason: str) -> None:
    """The file is unchanged, and the reason says what the user has to edit."""
    with pytest.raises(CannotEditError, match=reason):
        with_loader(source)
