"""Any history, its state kept at any commit, in segments of any size: with the checkpoint and without it the same."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.facts.codec import events_of
from ml_dash.journal.checkpoint import Trust, save_state
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.reading.glance import kept_at_a_glance
from ml_dash.reading.replay import Replay
from ml_dash.state import EMPTY, fold, glance_of

from ..examples import examples
from ..histories import Recorded, runs, singles
from ..journals import append

parts = st.lists(runs() | singles.map(lambda single: [single]), min_size=1, max_size=6)


@examples(25)
@given(parts, parts, st.integers(300, 3000), st.data())
def test_a_state_kept_anywhere_shows_the_same_history(
    before: list[list[Recorded]], behind: list[list[Recorded]], segment_bytes_max: int, data: st.DataObject
) -> None:
    with TemporaryDirectory() as path:
        experiment = Path(path) / "a"
        folder = append(experiment, *(("s1", part) for part in before), segment_bytes_max=segment_bytes_max)
        trust = Trust(folder)
        reader = JournalReader(folder, trusted=trust)
        for _, _ in zip(reader.commits(), range(data.draw(st.integers(1, len(before)))), strict=False):
            pass
        assert reader.position is not None
        kept = Replay(folder, at=reader.position.next_seq - 1).refresh()
        assert save_state(folder, trust, reader.position, reader.damage, kept)
        live = Replay(folder)
        live.refresh()
        append(experiment, *(("s2", part) for part in behind), segment_bytes_max=segment_bytes_max)
        replay = Replay(JournalFolder(experiment))
        state = replay.refresh()
        events = [
            each
            for line, blocks in replay.commits()
            for each in events_of(blocks, line.first, line.time_us, line.writer, line.session)
        ]
        assert len(events) == sum(map(len, before)) + sum(map(len, behind))
        assert repr(state) == repr(live.refresh()) == repr(fold(events, EMPTY))
        assert repr(glance_of(Replay(folder, at_a_glance=True).refresh())) == repr(glance_of(state))
        at = data.draw(st.integers(1, len(events)))
        then = Replay(folder, at).refresh()
        Path(folder.checkpoint_path).unlink()
        assert repr(Replay(folder).refresh()) == repr(state)
        assert repr(Replay(folder, at).refresh()) == repr(then)
        assert repr(glance_of(Replay(folder, at_a_glance=True).refresh())) == repr(glance_of(state))
        Replay(folder).keep()
        assert repr(Replay(folder).refresh()) == repr(state)
        assert repr(kept_at_a_glance(folder)) in (repr(None), repr(glance_of(state)))
