"""The text of errors."""

from __future__ import annotations

import pytest

from kedro_databricks_hybrid.errors import HybridError


@pytest.mark.parametrize("message", ["expected (3, 1)", "expected (3, 1)."])
def test_a_hint_begins_a_new_sentence(message: str) -> None:
    """Also after a quoted message, which may end without a full stop."""
    assert str(HybridError(message, hint="Fix it.")) == "expected (3, 1). Fix it."
    assert str(HybridError(message)) == message
