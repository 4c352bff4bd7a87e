"""Checks that the programs in docs/evidence.md are those that are tested here, word for word."""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
SOURCES = {"python": HERE / "verify.py", "go": HERE / "go" / "verify.go", "rust": HERE / "rust" / "src" / "main.rs"}

page = (HERE.parent.parent / "docs" / "evidence.md").read_text()
for language, source in SOURCES.items():
    shown = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    if not shown or any(part not in source.read_text() for part in shown):
        sys.exit(f"docs/evidence.md does not show {source.name} as it is tested.")
