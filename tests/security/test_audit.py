"""``make audit``: what is told of the pinned versions, and that CI goes on without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit"


@pytest.fixture
def audit(tmp_path):
    """Audit with a pip-audit that writes a report, or says that it cannot."""

    def run(vulnerabilities: list[dict[str, object]] | None) -> tuple[int, str]:
        report = {"dependencies": [{"name": "pillow", "version": "12.0", "vulns": vulnerabilities}]}
        work = f"open(sys.argv[sys.argv.index('--output') + 1], 'w').write({json.dumps(report)!r})"
        if vulnerabilities is None:
            work = "sys.exit('Could not connect to OSV')"
        tool = tmp_path / "pip-audit"
        tool.write_text(f"#!{sys.executable}\nimport sys\n{work}\nsys.exit({int(bool(vulnerabilities))})\n")
        tool.chmod(0o755)
        done = subprocess.run(
            [sys.executable, AUDIT], env={**os.environ, "PIP_AUDIT": str(tool)}, capture_output=True, text=True
        )
        return done.returncode, done.stdout

    return run


def test_a_vulnerability_that_is_fixed_elsewhere_fails(audit):
    known = {"id": "GHSA-1", "aliases": ["CVE-2026-1"], "fix_versions": ["13.0"]}
    code, out = audit([known])
    assert code == 1 and "pillow 12.0: GHSA-1, CVE-2026-1, fixed in 13.0\n" in out
    code, out = audit([{**known, "fix_versions": []}])
    assert code == 0 and "no version without it\n1 pinned versions, 1 known" in out
    assert audit([]) == (0, "1 pinned versions, 0 known vulnerabilities\n")


def test_without_a_database_it_is_skipped_with_the_reason(audit):
    assert audit(None) == (0, "audit skipped: the advisory database does not answer (Could not connect to OSV)\n")
