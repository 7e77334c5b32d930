"""Set one value in the text of a YAML file, keeping its comments and layout. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node


class CannotEditError(ValueError):
    """The file cannot be edited automatically; the message has the reason."""


def with_value(text: str, name: str, value: str) -> str:
    """Return the text with a setting changed or added.

    Args:
        text: A YAML document: a mapping of sections, or empty.
        name: The setting, `<section>.<key>`.
        value: Its new value.

    Raises:
        CannotEditError: The text is no such document, or the value is an alias or has several lines.
    """
    import yaml

    section, _, key = name.partition(".")
    try:
        before = yaml.safe_load(text) or {}
        if not isinstance(before, dict):
            raise CannotEditError("it contains no settings")
        edited = _edited(text, yaml.compose(text, yaml.SafeLoader), section, (key, value))
        after = yaml.safe_load(edited)
    except yaml.YAMLError as error:
        raise CannotEditError(f"{name} is written in an unusual way") from error
    expected = {**before, section: {**(before.get(section) or {}), key: value}}
    if after != expected:
        raise CannotEditError(f"{name} is written in an unusual way")
    return edited


def _edited(text: str, document: Any, section: str, setting: tuple[str, str]) -> str:  # noqa: ANN401
    from yaml.nodes import MappingNode

    newline = "\r\n" if "\r\n" in text else "\n"
    found = _pair(document, section) if isinstance(document, MappingNode) else None
    if found is None:
        start = text if not text or text.endswith("\n") else text + newline
        return f"{start}{section}:{newline}  {_line(*setting)}{newline}"
    name, content = found
    if isinstance(content, MappingNode) and content.value:
        return _in_mapping(text, content, setting, newline)
    end = content.end_mark.index
    if end > name.end_mark.index + 1 and text[content.start_mark.index : end].strip():  # {}, null or ~
        return f"{text[: content.start_mark.index].rstrip(' ')}{newline}  {_line(*setting)}{text[end:]}"
    line_end = text.find("\n", name.end_mark.index)
    if line_end < 0:
        return f"{text}{newline}  {_line(*setting)}{newline}"
    return f"{text[: line_end + 1]}  {_line(*setting)}{newline}{text[line_end + 1 :]}"


def _in_mapping(text: str, mapping: MappingNode, setting: tuple[str, str], newline: str) -> str:
    key, value = setting
    found = _pair(mapping, key)
    if found:
        name, old = found
        start, end = old.start_mark.index, old.end_mark.index
        if start < name.end_mark.index:
            raise CannotEditError(f"{key} is an alias of another value")
        gap = "" if text[name.end_mark.index : start].endswith(" ") else " "
        return f"{text[:start]}{gap}{_scalar(value, flow=bool(mapping.flow_style))}{text[end:]}"
    first = mapping.value[0][0].start_mark
    if mapping.flow_style:
        return f"{text[: first.index]}{key}: {_scalar(value, flow=True)}, {text[first.index :]}"
    return f"{text[: first.index]}{_line(key, value)}{newline}{' ' * first.column}{text[first.index :]}"


def _pair(mapping: MappingNode, key: str) -> tuple[Node, Node] | None:
    return next((pair for pair in mapping.value if pair[0].value == key), None)


def _line(key: str, value: str) -> str:
    return f"{key}: {_scalar(value, flow=False)}"


def _scalar(value: str, *, flow: bool) -> str:
    """Write a text as YAML; inside braces it is quoted, as it may contain braces."""
    import yaml

    return value if not flow and yaml.safe_load(value) == value and "#" not in value else json.dumps(value)
