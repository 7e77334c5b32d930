"""Small wheels for tests."""

from __future__ import annotations

import io
import zipfile


def wheel(name: str, version: str = "1.0", entry_point: str = "", **modules: str) -> tuple[str, bytes]:
    """Return the file name and the content of a wheel with the given modules."""
    information = f"{name}-{version}.dist-info"
    files = {
        **{f"{module}.py": source for module, source in modules.items()},
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry_point:
        files[f"{information}/entry_points.txt"] = f"[console_scripts]\n{entry_point}\n"
    record = "".join(f"{file},,\n" for file in [*files, f"{information}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file, text in {**files, f"{information}/RECORD": record}.items():
            archive.writestr(file, text)
    return f"{name}-{version}-py3-none-any.whl", content.getvalue()
