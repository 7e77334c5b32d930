"""Generate the list of error messages, each with its next step, from the source of the package."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from reference import prose

from kedro_databricks_hybrid import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(errors.__file__).parent
GAP = "\N{HORIZONTAL ELLIPSIS}"
"""Stands for a part of a message that depends on the case."""

_SECTIONS = {
    "SettingsError": "Settings and requirements",
    "GitError": "Git",
    "LoginError": "Login",
    "ConnectionFailedError": "Connection",
    "WorkspaceError": "The workspace and the Git folder",
    "ComputeError": "Compute",
    "TransferError": "Data",
    "RunError": "Runs",
    "SandboxError": "The sandbox",
    "HybridError": "The project",
}
"""The sections by the class of their errors; a class that is not here is in the section of its base class."""

_BASES = {
    "kind": "RunError",
    "_error": "WorkspaceError",
    "cls": "HybridError",
    "type(error)": "WorkspaceError",
    "UnexpectedAnswerError": "ConnectionFailedError",
    "UnknownDataError": "SettingsError",
    "VanishedError": "TransferError",
    "InterruptedPullError": "TransferError",
    "InterruptedPushError": "TransferError",
}
"""The classes that errors.py does not have, and the names that stand for one of several."""

WITHOUT_HEADING = {
    "cli/follow.py follow": "adds how to follow the run to another error",
    "cli/options.py invoke": "repeats the operating system's error",
    "cli/sandbox.py ask_sandbox": "repeats the sandbox's answer",
    "databricks/git_folder.py create": "adds to another error that the incomplete Git folder was deleted",
    "databricks/git_folder.py _hinted": "adds to another error how to register a credential",
    "databricks/git_folder_rescue.py _explained": "joins two other errors",
    "databricks/workspace.py connect": "adds to another error which variables beat the profile",
    "errors.py of": "repeats the operating system's error",
    "project/data_root.py _explained": "adds to another error where else the data can lie",
    "run/job.py start": "adds to another error which limit is reached",
    "transfer/checks.py explained": "repeats Databricks' refusal",
    "transfer/checks.py refuse_names": "names a file and what its name contains",
}
"""Errors whose message is only known when they are raised, by file and function, and why."""

_FEWEST_WORDS = 2
_MOST_ALTERNATIVES = 6
_OF_THE_CASE = "The message names the next step."


@dataclass(frozen=True)
class Message:
    """An error with a next step, as the source has it.

    Args:
        source: The file and the function.
        error: The name of its class.
        texts: The message, with GAP for what depends on the case; several if the source chooses one of them.
        hints: The next step; none if it depends on the case.
    """

    source: str
    error: str
    texts: tuple[str, ...]
    hints: tuple[str, ...]

    @property
    def headings(self) -> list[str]:
        """The texts that tell an error from others."""
        return [text for text in self.texts if len(re.findall(r"[a-zA-Z]{2,}", text)) >= _FEWEST_WORDS]

    @property
    def steps(self) -> list[str]:
        """The hints that say something whatever the case is."""
        return [
            hint for hint in self.hints if re.match(rf"[^{GAP}]|{GAP}[^,]", hint) and hint.strip(GAP + " .")
        ]


@cache
def messages() -> tuple[Message, ...]:
    """Return every call in the client's source with a `hint`."""
    return tuple(_messages())


def _messages() -> Iterator[Message]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("sandbox/"):
            continue
        module = ast.parse(path.read_text("utf-8"))
        functions = [each for each in ast.walk(module) if isinstance(each, ast.FunctionDef)]
        for call in ast.walk(module):
            hint = _hint(call)
            if not isinstance(call, ast.Call) or hint is None:
                continue
            around = [each for each in functions if each.lineno <= call.lineno <= (each.end_lineno or 0)]
            scopes: list[ast.FunctionDef | ast.Module] = [
                *sorted(around, key=lambda each: -each.lineno),
                module,
            ]
            texts = _texts(call.args[0], scopes) if call.args else []
            source = f"{name} {getattr(scopes[0], 'name', '')}"
            error = ast.unparse(call.func).rpartition(".")[2]
            yield Message(source, error, tuple(texts), tuple(_texts(hint, scopes)))


def listing() -> str:
    """Return a section for each kind of error: the messages as headings, each with its next step."""
    found: dict[str, dict[str, list[str]]] = {section: {} for section in _SECTIONS.values()}
    for message in messages():
        for heading in message.headings:
            hints = found[_section(message.error)].setdefault(heading, [])
            new = dict.fromkeys(message.steps or [_OF_THE_CASE])
            hints += [hint for hint in new if hint not in hints]
    lines = []
    for section, headings in found.items():
        lines.append(f"## {section}")
        for heading in sorted(headings, key=lambda text: text.strip(GAP + " '").casefold()):
            lines += [f"### {prose(heading.rstrip('.'))}", *map(prose, headings[heading])]
    return "\n\n".join(lines)


def _section(error: str) -> str:
    name = _BASES.get(error, error)
    if name in _SECTIONS:
        return _SECTIONS[name]
    bases = getattr(errors, name).__mro__
    return next(_SECTIONS[base.__name__] for base in bases if base.__name__ in _SECTIONS)


def _hint(call: ast.AST) -> ast.expr | None:
    given = call.keywords if isinstance(call, ast.Call) else []
    hint = next((each.value for each in given if each.arg == "hint"), None)
    return None if isinstance(hint, ast.Constant) and hint.value is None else hint


def _texts(value: ast.expr, scopes: list[ast.FunctionDef | ast.Module]) -> list[str]:
    """Return what an expression may be as text, with GAP for parts that are not literal."""
    match value:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            found = [""]
            for part in parts:
                ends = _part(part, scopes)
                found = [(begin + end).replace(GAP * 2, GAP) for begin in found for end in ends]
            return found if len(found) <= _MOST_ALTERNATIVES else []
        case ast.IfExp(body=yes, orelse=no):
            return [*_texts(yes, scopes), *_texts(no, scopes)]
        case ast.Name(id=name):
            return _assigned(name, scopes)
    return []


def _part(part: ast.expr, scopes: list[ast.FunctionDef | ast.Module]) -> list[str]:
    """Return what a part of an f-string may be: GAP, unless a variable has one of few texts."""
    if isinstance(part, ast.Constant):
        return [str(part.value)]
    name = part.value if isinstance(part, ast.FormattedValue) else None
    texts = _texts(name, scopes) if isinstance(name, ast.Name | ast.IfExp) else []
    return texts if 0 < len(texts) <= 2 else [GAP]


def _assigned(name: str, scopes: list[ast.FunctionDef | ast.Module]) -> list[str]:
    """Return the texts that are assigned to a name, in the innermost scope that assigns any."""
    for number, scope in enumerate(scopes):
        body = ast.walk(scope) if isinstance(scope, ast.FunctionDef) else iter(scope.body)
        values = [value for each in body if (value := _value_of(each, name)) is not None]
        if values:
            return [text for value in values for text in _texts(value, scopes[number + 1 :]) or [GAP]]
    return []


def _value_of(statement: ast.AST, name: str) -> ast.expr | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
            return value
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            pairs = zip(names, values, strict=True)
            return next((v for n, v in pairs if isinstance(n, ast.Name) and n.id == name), None)
        case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
            return value
    return None
