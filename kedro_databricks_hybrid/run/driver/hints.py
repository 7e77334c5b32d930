"""Say what to do next about the error that ended a run."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = "Correct the options, then run again."
PARAMETERS = "Give its value with --params, then run again."
DATA = "Send the file with `kedro databricks data push`, or correct the catalog, then run again."

_VERSIONS = {"VersionNotFoundError", "DatasetNotFoundError"}
_REFUSING = ("kedro/framework/session/session.py", "kedro/pipeline/pipeline.py", "kedro/utils.py")


def hint(error: BaseException, request: dict[str, Any]) -> str | None:
    """Return the next step; empty if the error's own message names it, None if the code is to be fixed.

    Args:
        error: What ended the run.
        request: The request of the run.
    """
    chain = list(_chain(error))
    if own := own_error(error):
        return getattr(own, "hint", None) or ""
    text = " ".join(map(str, chain))
    if is_about_options(error) or _is_about_versions(chain, text, request):
        return OPTIONS
    if "Runtime parameter" in text:
        return PARAMETERS
    is_data = any(type(each).__name__ == "DatasetError" for each in chain)
    return DATA if is_data and any(isinstance(each, FileNotFoundError) for each in chain) else None


def message(error: BaseException) -> str:
    """Return the last line of the traceback, without the next step that errors of this package end with."""
    if own := own_error(error):
        return str(getattr(own, "message", own))
    return "".join(traceback.format_exception_only(type(error), error)).strip()


def is_about_options(error: BaseException) -> bool:
    """Tell whether Kedro refused the options of the run: the names of pipelines, nodes or the runner."""
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = str(Path(__file__).with_name("pipeline.py"))
    is_in_runner = any(file.endswith("kedro/runner/runner.py") for file in frames)
    return frames[-1].endswith((*_REFUSING, ours)) and not is_in_runner


def own_error(error: BaseException) -> BaseException | None:
    """Return the error of this package that ended the run; OmegaConf wraps those of resolvers in its own."""
    module = type(error).__module__
    chain = _chain(error) if module.startswith("omegaconf.") else iter([error])
    return next(
        (each for each in chain if type(each).__module__.startswith("kedro_databricks_hybrid.")), None
    )


def _is_about_versions(chain: list[BaseException], text: str, request: dict[str, Any]) -> bool:
    """Tell whether the run was given the version of a dataset that has no such version."""
    given = (request.get("run") or {}).get("load_versions") or {}
    named = any(str(each) in text for pair in dict(given).items() for each in pair)
    return named and any(type(each).__name__ in _VERSIONS or "ersion" in str(each) for each in chain)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
