"""The only place that logs in to a workspace, and the boundary where its errors become ours."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kedro_databricks_hybrid import __version__
from kedro_databricks_hybrid.databricks.client import Client, defer_services
from kedro_databricks_hybrid.errors import (
    ConnectionFailedError,
    HybridError,
    LoginError,
    NotFoundError,
    WorkspaceError,
)
from kedro_databricks_hybrid.sandbox import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databricks.sdk.core import Config

SANDBOX_PROFILE = "sandbox"
"""The reserved profile that stands for the local workspace."""

# What the SDK adds to every refusal of a login: names of variables, and a host that we name ourselves.
_CONFIGURATION = re.compile(r"[. ]*\bConfig: \S+=.*$")
_GIT = re.compile(r"\b(git|repo|repository)\b", re.IGNORECASE)  # a Git provider's token, not the login's
_NO_DISCOVERY = "Invalid URL 'None'"  # the SDK asks the host for its OAuth addresses, and had no answer
_ME = "/api/2.0/preview/scim/v2/Me"
_FIRST_ANSWER_SECONDS = 5
_RETRY_SECONDS = 300


@dataclass(frozen=True)
class Workspace:
    """A workspace that accepted our login: the SDK's client and the name of the user it belongs to."""

    client: Client
    user: str
    profile: str | None

    @property
    def host(self) -> str:
        """The workspace's address, without a trailing slash."""
        return str(self.client.config.host).rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the workspace is on this machine, as the sandbox is."""
        return urlsplit(self.host).hostname in {"127.0.0.1", "localhost", "::1"}

    @property
    def flags(self) -> str:
        """What to add to a command, in a hint, so that it reaches this workspace again."""
        return f" --profile={self.profile}" if self.profile else ""


def connect(profile: str | None) -> Workspace:
    """Log in to a workspace and ask who we are, so that a login that does not work shows at once.

    Args:
        profile: A profile of ~/.databrickscfg, or `sandbox`; None takes whatever the SDK's unified
            authentication finds, as every Databricks tool does.

    Raises:
        LoginError: No login was found, it is not accepted, or the sandbox is not running.
        ConnectionFailedError: The host does not answer.
    """
    return _logged_in(_config(profile), profile)


def connect_with(host: str, token: str) -> Workspace:
    """Log in to a workspace with a token that somebody else keeps.

    Raises:
        LoginError: It is not accepted.
        ConnectionFailedError: The host does not answer.
    """
    defer_services()
    from databricks.sdk.core import Config

    config = Config(host=host, token=token, auth_type="pat", retry_timeout_seconds=_FIRST_ANSWER_SECONDS)
    return _logged_in(config.with_user_agent_extra("kedro-databricks-hybrid", __version__), None)


def _logged_in(config: Config, profile: str | None) -> Workspace:
    logging.getLogger("databricks.sdk").setLevel(logging.ERROR)  # what it warns of, we say in our own words
    action = f"log in to {config.host}"
    try:
        with translated(action):
            user = _user_name(Client(config))
    except ValueError as error:  # so the SDK says that OAuth gives no token
        raise _login_refused(action, error) from error
    if not user:
        raise LoginError(f"{config.host} accepted the login but did not say whose it is.")
    config.retry_timeout_seconds = _RETRY_SECONDS
    return Workspace(Client(config), user, profile)


def _user_name(client: Client) -> str | None:
    answer = client.api_client.do("GET", _ME)
    return answer.get("userName") if isinstance(answer, dict) else None


def _config(profile: str | None) -> Config:
    defer_services()
    from databricks.sdk.core import Config

    if profile == SANDBOX_PROFILE:
        running = connection.read()
        if running is None:
            raise LoginError(
                "The sandbox is not running.", hint="Start it: `kedro databricks sandbox start`."
            )
        config = Config(
            host=running.host,
            token=running.token,
            auth_type="pat",
            retry_timeout_seconds=_FIRST_ANSWER_SECONDS,
        )
    else:
        try:
            config = Config(profile=profile, retry_timeout_seconds=_FIRST_ANSWER_SECONDS)
        except ValueError as error:
            sought = (
                f"profile {profile!r} of ~/.databrickscfg" if profile else "environment or ~/.databrickscfg"
            )
            words = _CONFIGURATION.sub("", _one_line(error))
            if _NO_DISCOVERY in words:
                raise ConnectionFailedError(
                    f"The host of the Databricks login in the {sought} does not say where to log in to it.",
                    hint="Check the host, the network and the proxy settings, then try again.",
                ) from None
            known = "" if "cannot configure default credentials" in words else f": {words}"
            raise LoginError(
                f"No Databricks login was found in the {sought}{known}.",
                hint="Run `databricks auth login`, name a profile with --profile, "
                "or try without an account: `kedro databricks sandbox start`, then --profile=sandbox.",
            ) from None
    return config.with_user_agent_extra("kedro-databricks-hybrid", __version__)


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn what the SDK raises while it does something into one of our errors.

    Args:
        action: What is being done, as it follows "Could not", with the object's name in it.

    Raises:
        LoginError: 401, or a 403 that says that the token is wrong.
        NotFoundError: 404, or what the API answers in its place.
        ConnectionFailedError: No answer within the time for retries.
        WorkspaceError: Any other refusal.
    """
    import requests
    from databricks.sdk import errors as refusals
    from databricks.sdk.errors.base import DatabricksError

    try:
        yield
    except HybridError:
        raise
    except refusals.Unauthenticated as error:
        raise _login_refused(action, error) from error
    except refusals.PermissionDenied as error:
        if "token" in _answer(error).lower() and not _GIT.search(_answer(error)):
            raise _login_refused(action, error) from error
        raise WorkspaceError(f"Could not {action}: {_answer(error)}") from error
    except refusals.NotFound as error:
        raise NotFoundError(f"Could not {action}: {_answer(error)}") from error
    except DatabricksError as error:
        raise WorkspaceError(f"Could not {action}: {_answer(error)}") from error
    except (requests.RequestException, TimeoutError) as error:
        raise ConnectionFailedError(
            f"Could not {action}: no answer ({_network_words(error)}).",
            hint="Check the host, the network and the proxy settings, then try again.",
        ) from error


def _login_refused(action: str, error: Exception) -> LoginError:
    return LoginError(
        f"Could not {action}: Databricks does not accept the login ({_answer(error)}).",
        hint="Log in again with `databricks auth login`, or choose another profile with --profile.",
    )


def _network_words(error: Exception) -> str:
    """Return what the operating system said of a connection, without the layers of Python around it."""
    words = _one_line(error.__cause__ or error)
    found = re.search(r"\[Errno -?\d+\] (?P<said>[^'\"()\[\]]+)", words)
    return found["said"].strip() if found else words


def _answer(error: Exception) -> str:
    """Return Databricks' own words, with its error code, on one line."""
    code = getattr(error, "error_code", None)
    words = _CONFIGURATION.sub("", _one_line(error))
    return f"{code}: {words}" if code and code not in words else words


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
