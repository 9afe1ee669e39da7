"""The detector of secrets can contact providers and revoke what it found. No code here may come near that."""

import ast
import subprocess
import sys

import pytest
from module_graph import PACKAGES, ROOT

DETECTOR = "kingfisher_sdk"
MAY_BE_USED = {"Rules", "Scanner"}
ONLY_HERE = ROOT / "streamer/privacy/scanner.py"


def test_only_what_scans_is_taken_from_the_detector() -> None:
    for package in (*PACKAGES, "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if DETECTOR not in text:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Import):
                    assert not any(alias.name.split(".")[0] == DETECTOR for alias in node.names), path
                elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == DETECTOR:
                    assert path == ONLY_HERE
                    assert node.module == DETECTOR
                    assert {alias.name for alias in node.names} <= MAY_BE_USED


def test_a_scan_needs_no_network() -> None:
    """In a network of its own that has no way out, not even to this machine."""
    scan = (
        "from streamer.privacy.replacing import Privacy, replace\n"
        "assert replace('redis://app:kq81Zmmw2x@cache.corp.net', Privacy()).words == 'password=1'\n"
    )
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("a network namespace cannot be made here")
    ended = subprocess.run([*alone, sys.executable, "-c", scan], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
