"""The rules of faults on demand: which requests fail, and how."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from itertools import count
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

EFFECTS = {
    "status": "answer with --status instead of processing the request",
    "delay": "process the request after --seconds",
    "reset-before": "reset the connection instead of processing the request",
    "reset-after": "process the request, then reset the connection instead of answering",
    "truncate": "process the request, send half of the answer and close the connection",
    "stale": "answer reads as before the last write, with the older answer or 404",
    "terminate-cluster": "terminate every running cluster --seconds after the answer",
    "evict-contexts": "evict every execution context --seconds after the answer",
    "expire-token": "from then on refuse the token that the request came with",
}
"""What a fault can do, with its description."""

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("effect", "method", "path", "message"), (str,)),
    **dict.fromkeys(("nth", "times", "seed", "status", "retry_after"), (int,)),
    **dict.fromkeys(("rate", "seconds"), (int, float)),
}
_MOST = 10_000  # seconds of a delay, requests that are counted


@dataclass
class Fault:
    """One rule: the requests it matches, which of them it strikes, and how.

    Attributes:
        effect: One of EFFECTS.
        method: An HTTP method, or `*`.
        path: A pattern for the path of the address, such as `/api/2.0/dbfs/*`.
        nth: The first matching request to strike, from 1.
        times: How many requests to strike; 0 for all. With `stale`: how many reads after each write.
        rate: The probability with which it strikes each request from the nth on.
        seed: The seed of that probability, so that a failure can be repeated.
        status: With `status`: the HTTP status.
        retry_after: With `status`: the seconds in the header Retry-After, None for no header.
        message: With `status`: the message in the body.
        seconds: How long `delay` and the effects on clusters and contexts wait.
        number: The number of this rule.
        calls: How many requests it has matched.
        struck: How many of them it has struck.
    """

    effect: str
    method: str = "*"
    path: str = "*"
    nth: int = 1
    times: int = 1
    rate: float = 1.0
    seed: int = 0
    status: int = 503
    retry_after: int | None = None
    message: str = "The service is temporarily unavailable."
    seconds: float = 0.0
    number: int = 0
    calls: int = 0
    struck: int = 0
    _random: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable, no secret

    def matches(self, method: str, path: str) -> bool:
        """Whether this rule matches a request."""
        return self.method in {"*", method} and fnmatchcase(path, self.path)

    def strikes(self) -> bool:
        """Count one matching request, and return whether to strike it."""
        self.calls += 1
        if self.calls < self.nth or (self.times and self.struck >= self.times):
            return False
        if self.rate < 1 and self._random.random() >= self.rate:
            return False
        self.struck += 1
        return True

    def describe(self) -> dict[str, Any]:
        """Return the rule as JSON."""
        shown = asdict(self)
        del shown["_random"]
        return shown


_SETTABLE = {one.name for one in fields(Fault)} - {"_random", "number", "calls", "struck"}


class Faults:
    """The rules of one sandbox; they are not kept when it stops."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []
        self.expired: set[str] = set()
        self._numbers = count(1)

    def add(self, /, effect: str, **details: Any) -> Fault:  # noqa: ANN401 - the fields of Fault
        """Add a rule and return it; its counters are updated by each request.

        Raises:
            ApiError: 400 for a field that is unknown, of the wrong type or out of range.
        """
        fault = _fault({"effect": effect, **details})
        fault.number = next(self._numbers)
        self.rules.append(fault)
        return fault

    def clear(self, number: int | None = None) -> None:
        """Remove one rule, or all; without a rule for expired tokens they are valid again."""
        self.rules = [fault for fault in self.rules if number not in {None, fault.number}]
        if not any(fault.effect == "expire-token" for fault in self.rules):
            self.expired.clear()

    def struck(self, method: str, path: str, *, has_token: bool = True) -> list[Fault]:
        """Count a request with every rule that matches it, and return the rules that strike it.

        A request without a token, such as a client's first question for the ways to log in, expires none.
        Rules for stale reads are left out: they depend on earlier requests, see `Replica`.
        """
        return [
            fault
            for fault in self.rules
            if fault.effect != "stale"
            and (has_token or fault.effect != "expire-token")
            and fault.matches(method, path)
            and fault.strikes()
        ]


def _fault(values: Mapping[str, Any]) -> Fault:
    unknown = values.keys() - _SETTABLE
    if unknown:
        raise invalid(f"A fault has no field {min(unknown)[:100]!r}")
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
            raise invalid(f"Field {name!r} of a fault is of the wrong type")
    if given.get("effect") not in EFFECTS:
        raise invalid(f"The effect of a fault is one of: {', '.join(EFFECTS)}")
    fault = Fault(**given)
    fault.method = fault.method.upper()
    in_range = {
        "status": 400 <= fault.status <= 599,
        "rate": 0 < fault.rate <= 1,
        "nth": 1 <= fault.nth <= _MOST,
        "times": 0 <= fault.times <= _MOST,
        "seconds": 0 <= fault.seconds <= _MOST,
        "retry_after": fault.retry_after is None or 0 <= fault.retry_after <= _MOST,
    }
    for name, fits in in_range.items():
        if not fits:
            raise invalid(f"Field {name!r} of a fault is out of range")
    return fault
