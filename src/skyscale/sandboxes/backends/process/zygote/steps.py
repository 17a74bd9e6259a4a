"""The layers that an episode puts on, as system calls that its zygote has prepared; the episode only makes them.

- An interpreter that has just been forked copies each page that it writes to, at about 3 us a page, so the episode
  makes no objects of its own here: the layers cost 73 page faults this way and 160 as functions of Python.
- A call that is not answered as expected leaves its layer off; the rest of that layer's calls are made all the same,
  for what they are worth. Which layers are off, and why, is told; a layer is never skipped in silence.
- Descriptors `FREE` are kept open in the zygote for one purpose: closed in the episode, they are the numbers that its
  next two opens get, so calls that take those numbers can be prepared too.
"""

import os
import resource
import struct
from typing import NamedTuple

from . import kernel, landlock, seccomp

FREE = (4, 5)
"""The lowest numbers above the episode's own 0 to 3."""
DIES_WITH_PARENT = "dies with parent"
"""Not a layer that may be missing."""
_STATIC_LIMITS = (
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_NOFILE, 64),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
    (resource.RLIMIT_STACK, 8 * 1024 * 1024),
)
_TMP_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
_AT_FDCWD = -100


class Step(NamedTuple):
    """One call, the layer that it is a part of, and the answer that means success."""

    layer: str
    call: kernel.Prepared
    answer: int = 0


def put_on(steps: list[Step]) -> dict[str, str]:
    """Make the calls, in order; the layers that are not on, each with the reason."""
    failed: dict[str, str] = {}
    for layer, call, answer in steps:
        if kernel.call(call) != answer:
            failed.setdefault(layer, f"no: {kernel.last_error()}")
    return failed


def private_tmp(tmp_bytes: int) -> list[Step]:
    """A file system in memory over /tmp, which becomes the working directory."""
    options = f"size={tmp_bytes},nr_inodes=1024,mode=700".encode() + b"\0"
    mount = kernel.prepared("mount", b"tmp", b"/tmp", b"tmpfs", _TMP_FLAGS, options)
    return [Step("private tmp", mount), Step("private tmp", kernel.prepared("chdir", b"/tmp"))]


def own_process() -> list[Step]:
    """What needs nothing of the host: capabilities, privileges, core dumps, limits."""
    return [
        Step(DIES_WITH_PARENT, kernel.dying_with_parent()),
        *[Step("no capabilities", call) for call in kernel.dropping_capabilities()],
        Step("no new privileges", kernel.having_no_new_privileges()),
        Step("not dumpable", kernel.being_undumpable()),
        *[
            Step("resource limits", kernel.prepared("prlimit64", 0, kind, struct.pack("@QQ", value, value), None))
            for kind, value in _STATIC_LIMITS
        ],
    ]


def confined(rules: landlock.Rules) -> list[Step]:
    """Landlock, with the episode's own /tmp, which exists only by then."""
    ruleset, scratch = FREE
    here = kernel.prepared("openat", _AT_FDCWD, b"/tmp", os.O_PATH | os.O_CLOEXEC)
    calls = [kernel.prepared("landlock_add_rule", ruleset, 1, rule) for rule in (*rules.fixed, rules.writable(scratch))]
    return [
        *[Step("landlock", kernel.prepared("close", number)) for number in FREE],
        Step("landlock", kernel.prepared("landlock_create_ruleset", rules.attributes, len(rules.attributes)), ruleset),
        Step("landlock", here, scratch),
        *[Step("landlock", call) for call in calls],
        Step("landlock", kernel.prepared("landlock_restrict_self", ruleset)),
    ]


def filtered(program: seccomp.Filter) -> list[Step]:
    """The filter of every episode from its birth."""
    return [Step("seccomp", program.installing)]
