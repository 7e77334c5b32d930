"""Command prefixes that run a command as another kind of user of this machine.

`python -m tests.sandbox.users_of_the_machine COMMAND` runs a command with user namespaces switched off. If
the machine refuses them already, it runs the command unchanged.
"""

from __future__ import annotations

import os
import sys

import pytest

from kedro_databricks_hybrid.sandbox.kernel import kinds

MAY_BIND = not kinds.chosen(kinds.NAMESPACE).refusal
"""Whether the user who runs the tests can create namespaces."""

KINDS = [
    pytest.param(kinds.NAMESPACE, marks=pytest.mark.namespaces),
    pytest.param(kinds.BUBBLEWRAP, marks=pytest.mark.bubblewrap),
    kinds.PORTABLE,
]
"""The kinds of kernels, as parameters of a test."""

# Becomes user 1000, without privileges, who may (or with "refuse" may not) make user namespaces.
_ORDINARY = """
import ctypes, os, sys
os.environ.pop("COVERAGE_PROCESS_CONFIG", None)  # that user may not write where it wants to
user, group = os.getuid(), os.getgid()
assert ctypes.CDLL(None).unshare(0x10000000) == 0
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"1000 {user} 1")
open("/proc/self/gid_map", "w").write(f"1000 {group} 1")
if sys.argv[1] == "refuse":
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
os.execvp(sys.argv[2], sys.argv[2:])
"""

ALLOWED = [sys.executable, "-c", _ORDINARY, "allow"]
"""An ordinary user."""

REFUSED = [sys.executable, "-c", _ORDINARY, "refuse"] if MAY_BIND else []
"""An ordinary user of a machine on which user namespaces are switched off."""

if __name__ == "__main__":
    command = [*REFUSED, *sys.argv[1:]]
    os.execvp(command[0], command)  # noqa: S606 - runs the given command
