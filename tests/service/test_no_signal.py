"""A run whose buffer gets nothing but equal rewards for an hour says so once, with the reward; on both databases."""

from datetime import timedelta

from skyscale.events.service import EventLog
from skyscale.runs import limits
from skyscale.runs.no_signal import SignalWatch
from tests.service.buffer_bench import RUN, Bench


async def test_an_hour_without_a_signal_is_an_event_and_a_signal_starts_the_hour_again(bench: Bench) -> None:
    watch, events = SignalWatch(), EventLog(bench.database)

    async def look() -> list[str]:
        stats = await bench.buffer.stats(RUN)
        await limits.note_signal(bench.database, bench.buffer, events, watch, stats, bench.now)
        return [event.message for event in await events.list(RUN) if event.kind == "run.no_signal"]

    async def play(*rewards: float) -> None:
        (ticket,) = await bench.tickets(1)
        await bench.push(ticket, *rewards)

    assert await look() == []
    for _ in range(3):
        bench.now += timedelta(minutes=25)
        await play(0.0, 0.0)
    (message,) = await look()
    assert "6 episodes, mean reward 0.00" in message
    assert "easier" in message
    assert len(await look()) == 1
    await play(0.0, 1.0)
    bench.now += timedelta(minutes=59)
    await play(1.0, 1.0)
    assert len(await look()) == 1
