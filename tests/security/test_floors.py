"""The least versions that pyproject accepts have the known security fixes. Nothing is installed here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FIXES = {
    # what is read of others: requests and answers, pictures, checkpoints, tables, templates
    "aiohttp": {
        "3.12.14": "CVE-2025-53643",
        "3.13.4": "CVE-2026-34525",
        "3.14.1": "CVE-2026-54273",
        "3.14.3": "CVE-2026-69244",
        "3.14.4": "PYSEC-2026-4371",
    },
    "filelock": {"3.20.1": "CVE-2025-68146", "3.20.3": "CVE-2026-22701"},
    "flask-cors": {"4.0.2": "CVE-2024-6221", "6.0.0": "CVE-2024-6839"},
    "gunicorn": {"22.0.0": "CVE-2024-1135", "23.0.0": "CVE-2024-6827"},
    "jinja2": {"3.1.4": "CVE-2024-34064", "3.1.5": "CVE-2024-56201", "3.1.6": "CVE-2025-27516"},
    "joblib": {"1.2.0": "CVE-2022-21797"},
    "onnx": {"1.17.0": "CVE-2024-7776"},
    "pillow": {
        "10.2.0": "CVE-2023-50447",
        "10.3.0": "CVE-2024-28219",
        "11.3.0": "CVE-2025-48379",
        "12.1.1": "CVE-2026-25990",
        "12.2.0": "CVE-2026-40192",
    },
    "pyarrow": {"14.0.1": "CVE-2023-47248"},
    "pyyaml": {"5.4": "CVE-2020-14343"},
    "ray": {"2.52.0": "CVE-2025-62593"},
    "torch": {"2.6.0": "CVE-2025-32434", "2.10.0": "CVE-2026-24747", "2.11.0": "CVE-2026-4538"},
}
"""By package: versions with a fix, and its number."""


def requirements() -> dict[str, Requirement]:
    """What pyproject asks for, with its extras, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def floor_of(requirement: Requirement) -> Version:
    return max(Version(one.version) for one in requirement.specifier if one.operator in (">=", "=="))


def pins() -> dict[str, Version]:
    lines = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in lines}


@pytest.mark.parametrize("package", FIXES)
def test_no_version_without_a_known_fix_is_accepted(package):
    floor = floor_of(requirements()[package])
    assert not {number: version for version, number in FIXES[package].items() if floor < Version(version)}


def test_every_floor_can_be_installed():
    """What is pinned is known to be there."""
    known = pins()
    wanted = {name: one for name, one in requirements().items() if name != "posegen" and one.specifier}
    assert not [str(one) for name, one in wanted.items() if known[name] not in one.specifier]
