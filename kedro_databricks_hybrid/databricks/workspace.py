"""Log in to a workspace, the only module that does, and translate the SDK's errors to HybridError."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kedro_databricks_hybrid import __version__
from kedro_databricks_hybrid.databricks import login, silence
from kedro_databricks_hybrid.databricks.answers import UnexpectedAnswer
from kedro_databricks_hybrid.databricks.client import Client, defer_services
from kedro_databricks_hybrid.databricks.silence import Server, Silence
from kedro_databricks_hybrid.errors import (
    ConnectionFailedError,
    HybridError,
    LoginError,
    NotFoundError,
    UnexpectedAnswerError,
    WorkspaceError,
)
from kedro_databricks_hybrid.git.unsafe_names import shown
from kedro_databricks_hybrid.sandbox import connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from databricks.sdk.core import Config

SANDBOX_PROFILE = "sandbox"
"""The reserved profile name of the sandbox."""

# What the SDK appends to every login error: names of variables, and the host.
_CONFIGURATION = re.compile(r"[. ]*\bConfig: \S+=.*$")
_GIT = re.compile(r"\b(git|repo|repository)\b", re.IGNORECASE)  # then the token is a Git provider's
_SEVERAL = re.compile(r"more than one authorization method configured: (\w[\w -]*)")
_NO_DISCOVERY = "Invalid URL 'None'"  # the SDK got no OAuth endpoints from the host
_ME = "/api/2.0/preview/scim/v2/Me"
_FIRST_ANSWER_SECONDS = 5
_RETRY_SECONDS = 270  # less than the longest silence: then the last refusal is known
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class Workspace:
    """A workspace after a successful login.

    Args:
        client: The SDK's client.
        user: The user's name.
        profile: The profile that the command names; None without one.
        overriding: The variables of the environment that were used instead of the profile's own login.
    """

    client: Client
    user: str
    profile: str | None
    overriding: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """The workspace's URL, without a trailing slash."""
        return str(self.client.config.host).rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the workspace is on this machine, as the sandbox is."""
        return urlsplit(self.host).hostname in {"127.0.0.1", "localhost", "::1"}

    @property
    def flags(self) -> str:
        """The options that make a command in a hint use this workspace."""
        return f" --profile={self.profile}" if self.profile else ""


def connect(profile: str | None, report: Callable[[str], None] = silence.LOG.warning) -> Workspace:
    """Log in to a workspace and get the user's name, so that a wrong login fails at once.

    Args:
        profile: A profile of ~/.databrickscfg, or `sandbox`; None for the SDK's unified authentication, which
            all Databricks tools use.
        report: Called with one line when the workspace stops answering or answers again, and if variables
            of the environment are used instead of the profile's login.

    Raises:
        LoginError: No login was found, it is not accepted, or the sandbox is not running.
        ConnectionFailedError: The host does not answer.
    """
    if profile == SANDBOX_PROFILE:
        return _to_sandbox(report)
    found = _found(profile)
    with translated("log in"):
        config = Silence(report=report).wait(lambda: _config(profile, found))
    try:
        logged_in = replace(_logged_in(config, profile, report, Server()), overriding=found.overriding)
    except LoginError as error:
        if not found.overriding:
            raise
        hint = f"{found.shown_overriding} of the environment beat the profile {profile}: unset them."
        raise LoginError(error.message, hint=hint) from error
    if found.overriding:
        report(f"{found.shown_overriding} of the environment is used, not the profile {profile}'s own login.")
    return logged_in


def connect_with(host: str, token: str) -> Workspace:
    """Log in to a workspace with a host and token from the caller.

    Raises:
        LoginError: It is not accepted.
        ConnectionFailedError: The host does not answer.
    """
    return _by_token(host, token, None, silence.LOG.warning, Server())


def _to_sandbox(report: Callable[[str], None]) -> Workspace:
    running = connection.read()
    if running is None:
        raise LoginError("The sandbox is not running.", hint="Start it: `kedro databricks sandbox start`.")

    def is_running() -> bool:
        return connection.read(running.home) == running

    server = Server(f"The sandbox (process {running.pid})", is_running, running.pid)
    return _by_token(running.host, running.token, SANDBOX_PROFILE, report, server)


def _by_token(
    host: str, token: str, profile: str | None, report: Callable[[str], None], server: Server
) -> Workspace:
    action = f"log in to {host}"
    try:
        with translated(action):
            # An empty profile: otherwise the SDK reads the one that DATABRICKS_CONFIG_PROFILE names, too.
            config = Silence(silence.LOGIN, report, server).wait(
                lambda: _made(host=host, token=token, auth_type="pat", profile="")
            )
    except ValueError as error:  # the SDK's error if the host demands more than a token
        raise _login_refused(action, error) from error
    return _logged_in(config, profile, report, server)


def _logged_in(
    config: Config, profile: str | None, report: Callable[[str], None], server: Server
) -> Workspace:
    action = f"log in to {config.host}"
    try:
        with translated(action):
            user = _user_name(Client(config, Silence(silence.LOGIN, report, server)))
    except ValueError as error:  # the SDK's error if OAuth returns no token
        raise _login_refused(action, error) from error
    if not user:
        raise LoginError(f"{config.host} accepted the login but did not return a user name.")
    config.retry_timeout_seconds = _RETRY_SECONDS
    return Workspace(Client(config, Silence(silence.LIMITS, report, server)), user, profile)


def _user_name(client: Client) -> str | None:
    answer = client.api_client.do("GET", _ME)
    return answer.get("userName") if isinstance(answer, dict) else None


def _found(profile: str | None) -> login.Login:
    """Return the login that the SDK will find."""
    defer_services()
    from databricks.sdk.core import Config

    return login.find(profile, login.attributes_of(Config))


def _config(profile: str | None, found: login.Login) -> Config:
    trimmed = found.trimmed_host()
    try:
        return _made(profile=found.profile if trimmed else profile, **trimmed)
    except ValueError as error:
        raise _not_configured(_CONFIGURATION.sub("", _one_line(error)), found) from None


def _not_configured(message: str, found: login.Login) -> HybridError:
    """Return the error for a login that the SDK cannot use, by its message."""
    if _NO_DISCOVERY in message:
        return ConnectionFailedError(
            f"The host of the Databricks login in the {found.shown} does not return its OAuth endpoints.",
            hint="Check the host, the network and the proxy settings, then try again.",
        )
    if several := _SEVERAL.search(message):
        fix = f"unset {', '.join(found.variables)}" if found.variables else f"edit {found.file}"
        return LoginError(
            f"The login in the {found.shown} has more than one authorization method: {several[1].strip()}.",
            hint=f"Choose one with auth_type (DATABRICKS_AUTH_TYPE), or {fix}.",
        )
    known = "" if "cannot configure default credentials" in message else f": {message}"
    return LoginError(
        f"No Databricks login was found in the {found.shown}{known}.",
        hint="Run `databricks auth login`, name a profile with --profile, "
        "or try without an account: `kedro databricks sandbox start`, then --profile=sandbox.",
    )


def _made(**login: Any) -> Config:  # noqa: ANN401 - the SDK's own arguments
    """Return a login; the SDK asks the host for its endpoints, and does without them if it does not answer.

    Raises:
        UnexpectedAnswer: The host's answer has other types than the SDK expects.
        ValueError: There is no login, or it is incomplete.
    """
    defer_services()
    from databricks.sdk.core import Config

    logging.getLogger("databricks.sdk").setLevel(logging.ERROR)  # our messages cover what it warns about
    try:
        config = Config(retry_timeout_seconds=_FIRST_ANSWER_SECONDS, **login)
    except (AttributeError, TypeError, LookupError) as error:
        raise UnexpectedAnswer(f"does not describe its login: {error}") from error
    return config.with_user_agent_extra("kedro-databricks-hybrid", __version__)


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Translate the SDK's errors in a block into HybridError.

    Args:
        action: What the block does, as it follows "Could not", with the object's name.

    Raises:
        LoginError: 401, or a 403 about the token.
        NotFoundError: 404, or the API's equivalent.
        ConnectionFailedError: No answer, or only refusals to retry later, within the SDK's time for retries.
        UnexpectedAnswerError: The answer is not what the API documents.
        WorkspaceError: Any other error of the API.
    """
    import requests
    from databricks.sdk import errors as refusals
    from databricks.sdk.errors.base import DatabricksError

    from kedro_databricks_hybrid.databricks.transport import network_message

    action = shown(action)
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
    except UnexpectedAnswer as error:
        raise UnexpectedAnswerError(
            f"Could not {action}: Databricks' answer {error}.",
            hint="Check that the host is a Databricks workspace, and that no proxy answers in its place.",
        ) from error
    except (requests.RequestException, TimeoutError) as error:
        if isinstance(refusal := error.__cause__, DatabricksError):  # the SDK retried until its time was over
            raise ConnectionFailedError(
                f"Could not {action}: {_answer(refusal)}",
                hint="Databricks is busy, or a limit is reached: try again later.",
            ) from error
        raise ConnectionFailedError(
            f"Could not {action}: no answer ({network_message(error)}).",
            hint="Check the host, the network and the proxy settings, then try again.",
        ) from error


def _login_refused(action: str, error: Exception) -> LoginError:
    return LoginError(
        f"Could not {action}: Databricks does not accept the login ({_answer(error)}).",
        hint="Log in again with `databricks auth login`, or choose another profile with --profile.",
    )


def _answer(error: Exception) -> str:
    """Return Databricks' message with its error code, on one line."""
    code = str(getattr(error, "error_code", None) or "")
    message = _CONFIGURATION.sub("", _one_line(error))
    return f"{code}: {message}" if code and code not in message else message


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:_LONGEST_MESSAGE] or type(error).__name__
