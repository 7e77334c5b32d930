"""A dataset of the project's own, which wants credentials."""

import hashlib
import hmac
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError


def signature(content: bytes, key: str) -> str:
    """Return what signs a file."""
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()


class SignedCSVDataset(AbstractDataset[pd.DataFrame, pd.DataFrame]):
    """A CSV file that is read only if the signature beside it fits the key.

    Args:
        filepath: The file; its signature has the same name and .signature.
        credentials: Holds the key.
    """

    def __init__(self, *, filepath: str, credentials: dict[str, str]) -> None:
        self._filepath = PurePosixPath(filepath)
        self._key = credentials["key"]

    def load(self) -> pd.DataFrame:
        """Check the signature and read the table."""
        file = Path(self._filepath)
        signed = file.with_suffix(".signature").read_text(encoding="ascii").strip()
        if not hmac.compare_digest(signature(file.read_bytes(), self._key), signed):
            message = f"The signature of {file} does not fit the key."
            raise DatasetError(message)
        return pd.read_csv(file)

    def save(self, data: pd.DataFrame) -> None:
        """Refuse: reviews come from elsewhere."""
        message = "Signed tables are only read."
        raise DatasetError(message)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
