"""What the SDK logs in with: a section of a file, variables of the environment, a host as users copy it."""

from __future__ import annotations

import configparser
import locale
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from kedro_databricks_hybrid.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databricks.sdk.core import Config

_FILE = "~/.databrickscfg"
_FILE_VARIABLE = "DATABRICKS_CONFIG_FILE"
_PROFILE_VARIABLE = "DATABRICKS_CONFIG_PROFILE"
_SETTINGS = "__settings__"
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Login:
    """The login that the SDK will find.

    Args:
        file: The file with profiles, as the user names it.
        profile: The section of the file that it reads; None if it reads none.
        values: What the section contains.
        overriding: The variables of the environment that it uses instead of what a named profile contains.
        variables: The variables of the environment that it uses.
    """

    file: str
    profile: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    overriding: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Where the login is from, as words that follow "in the"."""
        return f"profile {self.profile!r} of {self.file}" if self.profile else f"environment or {self.file}"

    @property
    def shown_overriding(self) -> str:
        """The variables that are used instead of what a named profile contains, to print them."""
        return " and ".join(self.overriding)

    def trimmed_host(self) -> dict[str, str]:
        """Return the SDK's arguments for a host that was copied from a browser; empty for any other host.

        The official CLI trims hosts in this way, too: the path goes, and `?o=` is the workspace's id.
        """
        given = os.environ.get("DATABRICKS_HOST") or self.values.get("host", "")
        parts = urlsplit(given if "://" in given else f"https://{given}")
        if not parts.netloc or not (parts.path.strip("/") or parts.query or parts.fragment):
            return {}
        workspace = parse_qs(parts.query).get("o", [""])[0]
        is_known = os.environ.get("DATABRICKS_WORKSPACE_ID") or "workspace_id" in self.values
        named = {"workspace_id": workspace} if workspace.isdigit() and not is_known else {}
        return {"host": f"{parts.scheme}://{parts.netloc}", **named}


def find(profile: str | None, attributes: Mapping[str, tuple[str, ...]]) -> Login:
    """Return the login that the SDK will find.

    Args:
        profile: The profile that the user names; None for the SDK's choice.
        attributes: The variables of each setting of the SDK that is a host or part of a login.

    Raises:
        LoginError: The file cannot be read; the message names the file and what is wrong with it.
    """
    shown = os.environ.get(_FILE_VARIABLE) or _FILE
    named = profile or os.environ.get(_PROFILE_VARIABLE)
    given = {name: each for name, each in attributes.items() if any(map(os.environ.get, each))}
    variables = tuple(each for names in given.values() for each in names if os.environ.get(each))
    if not named and given:
        return Login(shown, variables=variables)  # then the SDK does not read the file
    sections = _sections(Path(shown).expanduser(), shown)
    used = named or sections.pop(_SETTINGS, {}).get("default_profile") or "DEFAULT"
    values = sections.get(used, {})
    if not named:
        return Login(shown, used if values else None, values)
    overriding = tuple(
        each
        for name, names in given.items()
        for each in names
        if os.environ.get(each) not in {None, "", values.get(name)}
    )
    return Login(shown, used, values, overriding, variables)


def attributes_of(config: type[Config]) -> dict[str, tuple[str, ...]]:
    """Return the variables of each setting of the SDK that is a host or part of a login."""
    return {
        each.name: tuple(filter(None, (each.env, *getattr(each, "env_aliases", ()))))
        for each in config.attributes()
        if each.env and (each.auth or each.name == "host")
    }


def _sections(path: Path, shown: str) -> dict[str, dict[str, str]]:
    """Return the sections of a file with profiles; empty if there is no such file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LoginError(f"{shown} cannot be read: {error.strerror}.", hint="Name another file.") from None
    if content.startswith(_MARKS):
        raise LoginError(
            f"{shown} begins with a byte order mark, which Databricks' tools do not read.",
            hint="Save it as UTF-8 without BOM.",
        )
    try:
        text = content.decode(locale.getpreferredencoding(do_setlocale=False))  # as the SDK reads it
        configparser.ConfigParser().read_string(text)
    except UnicodeDecodeError:
        raise LoginError(f"{shown} is not UTF-8 text.", hint="Save it as UTF-8 without BOM.") from None
    except configparser.Error as error:
        raise LoginError(f"{shown} is invalid: {_problem(error)}.", hint=f"Edit {shown}.") from None
    # The SDK does not add the settings in [DEFAULT] to the other sections.
    parser = configparser.ConfigParser(interpolation=None, default_section="", strict=False)
    parser.read_string(text)
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _problem(error: configparser.Error) -> str:
    """Return what is wrong with a file, without its content, which may be a secret."""
    if isinstance(error, configparser.DuplicateSectionError):
        return f"it has the section [{error.section}] twice (line {error.lineno})"
    if isinstance(error, configparser.DuplicateOptionError):
        return f"the section [{error.section}] has {error.option} twice (line {error.lineno})"
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno} is in no section: put [DEFAULT] above it"
    numbers = [str(line) for line, _ in getattr(error, "errors", [])]
    return f"line {', '.join(numbers)} is neither a section nor a setting" if numbers else "it is no INI file"
