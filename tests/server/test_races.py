"""Promise P6 with real processes: two servers in front of one store, many clients, crashes at any moment."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from ..examples import IS_CAMPAIGN
from ..promises import RecordProperty
from .conftest import NewServer, ServerProcess
from .histories import History
from .shipping import Client, copy_at

IN_EVERY_STORE = True
KILLS = 12 if IS_CAMPAIGN else 6
CAMPAIGN_KILLS = 2000


def test_two_servers_and_many_clients_store_each_line_once(new_server: NewServer, tmp_path: Path) -> None:
    urls = [new_server().url for _ in range(2)]
    history = History.of(20, 15, 25)

    def ship(number: int) -> None:
        with Client(history, urls[::-1] if number % 2 else urls) as client:
            client.ship(lines=1 + number % 4)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ship, range(8)))
    assert [copy_at(url, history) for url in urls] == [history.segments] * 2


def test_two_lineages_at_once_leave_one_of_them(new_server: NewServer, tmp_path: Path) -> None:
    urls = [new_server().url for _ in range(2)]
    for attempt in range(6):
        ours, theirs = (History(f"k10wb0emz0000000j{attempt}") for _ in range(2))
        for history in (ours, theirs):
            history.open_segment()
            history.commit(2)
        shared = ours.at
        assert shared is not None
        if attempt % 2:
            # Theirs opens the next segment where ours goes on in this one.
            theirs.open_segment()
        ours.commit()
        theirs.commit(size=9)
        with Client(ours, urls) as client:
            assert client.send(1, 0, shared.offset, None).status_code == 200
        barrier = threading.Barrier(8)

        def send(number: int, histories: list[History], offset: int, before: str, barrier: threading.Barrier) -> int:
            history = histories[number % 2]
            segment = max(history.segments)
            with Client(history, [urls[number // 2 % 2]]) as client:
                barrier.wait()
                start = offset if segment == 1 else 0
                return client.send(segment, start, len(history.segments[segment]), before).status_code

        both = [ours, theirs]
        with ThreadPoolExecutor(8) as pool:
            sending = partial(send, histories=both, offset=shared.offset, before=shared.hash, barrier=barrier)
            statuses = list(pool.map(sending, range(8)))
        accepted = {number % 2 for number, status in enumerate(statuses) if status == 200}
        assert len(accepted) == 1, statuses
        winner = both[accepted.pop()]
        assert [copy_at(url, winner) for url in urls] == [winner.segments] * 2


def test_a_server_killed_at_any_moment_has_whole_batches_and_forgets_none(
    server: ServerProcess, record_property: RecordProperty
) -> None:
    history = History.of(150, 150)
    chance = random.Random(5)
    acknowledged: list[tuple[int, int]] = [(0, 0)]
    is_done = threading.Event()

    def ship() -> None:
        with Client(history, [server.url], timeout_s=5.0) as client:
            while not is_done.is_set():
                try:
                    head = client.head()
                    place = (head.segment, head.offset) if head is not None else (0, 0)
                    assert place >= acknowledged[-1], "it was acknowledged, and is gone"
                    if head is not None and client.is_end(head):
                        return
                    segment, start = client.next_place(head)
                    end = client.end_of_lines(segment, start, 1)
                    answer = client.send(segment, start, end, head.hash if head is not None else None)
                except httpx.HTTPError:
                    time.sleep(0.005)
                    continue
                if answer.status_code == 200:
                    acknowledged.append((answer.json()["segment"], answer.json()["offset"]))

    with ThreadPoolExecutor(1) as pool:
        shipping = pool.submit(ship)
        try:
            for _ in range(KILLS):
                wanted, deadline = len(acknowledged) + 1 + chance.randrange(3), time.monotonic() + 30
                while len(acknowledged) < wanted and not shipping.done():
                    assert time.monotonic() < deadline
                    time.sleep(chance.random() * 0.004)
                server.restart()
                for segment, data in copy_at(server.url, history).items():
                    assert history.segments[segment].startswith(data)
                    assert data.endswith(b"\n")
            shipping.result(60)
        finally:
            is_done.set()
    assert copy_at(server.url, history) == history.segments
    record_property("kills of servers", KILLS)


def test_a_server_keeps_nothing_in_memory_that_another_one_needs(new_server: NewServer, tmp_path: Path) -> None:
    first = new_server()
    history = History.of(5)
    with Client(history, [first.url]) as client:
        client.ship(lines=2)
    first.kill()
    second = new_server()
    history.commit(3)
    with Client(history, [second.url]) as client:
        client.ship()
        assert client.copy() == history.segments


@pytest.mark.campaign
@pytest.mark.timeout(7200)
def test_two_thousand_kills(new_server: NewServer, record_property: RecordProperty) -> None:
    server, history = new_server(), History.of(1)
    chance = random.Random(1)
    for number in range(CAMPAIGN_KILLS):
        history.commit(chance.randrange(1, 5))
        if number % 50 == 49:
            history.open_segment()
            history.commit(1)
        killer = threading.Timer(chance.random() * 0.05, server.kill)
        killer.start()
        with Client(history, [server.url], timeout_s=1.0) as client, ThreadPoolExecutor(1) as pool:
            shipping = pool.submit(client.ship, 1)
            killer.join()
            server.start()
            shipping.result(60)
    assert copy_at(server.url, history) == history.segments
    record_property("kills of servers", CAMPAIGN_KILLS)
