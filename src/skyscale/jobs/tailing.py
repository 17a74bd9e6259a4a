"""Following a log of which a provider gives only the newest part: what is new in it. Pure."""

ANCHOR_CHARS = 400


def new_part(before: str, now: str) -> str:
    """What was printed between two looks at the newest part of a log.

    All of `now` when nothing of `before` is found in it: more was printed in between than a look shows.
    """
    if not before or now.startswith(before):
        return now[len(before) :]
    anchor = before[-ANCHOR_CHARS:]
    at = now.rfind(anchor)
    if at >= 0:
        return now[at + len(anchor) :]
    return "" if before.endswith(now) else now
