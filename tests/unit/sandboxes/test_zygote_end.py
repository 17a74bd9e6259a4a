"""A zygote whose control plane has gone ends in order, wherever it hears of it."""

import socket

import pytest

from skyscale.sandboxes.backends.process.zygote import isolate
from skyscale.sandboxes.backends.process.zygote.main import _Zygote  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("has_unread", [False, True])
def test_a_word_to_a_control_plane_that_has_gone_ends_the_zygote(*, has_unread: bool) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        if has_unread:
            theirs.send(b"unread")
        ours.close()
        zygote = _Zygote(theirs, isolate.Base(0))
        with pytest.raises(SystemExit):
            zygote._tell({"exited": "sb", "status": 0})  # pyright: ignore[reportPrivateUsage]
