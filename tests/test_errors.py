"""The text of errors."""

from __future__ import annotations

import pytest

from kedro_databricks_hybrid.errors import HybridError


@pytest.mark.parametrize("message", ["expected (3, 1)", "expected (3, 1)."])
def test_a_hint_begins_a_new_sentence(message: str) -> None:
    """Message and hint are separated by one full stop, whether the message ends with one or not."""
    assert str(HybridError(message, hint="Fix it.")) == "expected (3, 1). Fix it."
    assert str(HybridError(message)) == message
