"""How errors read."""

from __future__ import annotations

import pytest

from kedro_databricks_hybrid.errors import HybridError


@pytest.mark.parametrize("message", ["expected (3, 1)", "expected (3, 1)."])
def test_a_hint_begins_a_new_sentence(message: str) -> None:
    """Also after the words of others, which may end without a full stop."""
    assert str(HybridError(message, hint="Mend it.")) == "expected (3, 1). Mend it."
    assert str(HybridError(message)) == message
