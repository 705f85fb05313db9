"""The ladder's recordings: those of the records' runs, and read as they were written."""

from __future__ import annotations

import pytest
import torch

from mlpinit import records
from mlpinit.lab import ladder
from mlpinit.lab.recording import Recording, frame_steps


@pytest.fixture(scope="module")
def kept() -> dict[str, Recording]:
    return ladder.load()


def test_every_rung_is_recorded_to_its_end_and_light(kept):
    assert list(kept) == list(records.RUNGS)
    for recording in kept.values():
        assert recording.steps.tolist() == frame_steps(200_000)
        assert len(recording.json().encode()) < 100_000


def test_what_was_read_is_written_again_byte_for_byte(kept):
    for key, recording in kept.items():
        (path,) = ladder.FOLDER.glob(f"*-{key}-*.json")
        assert recording.json() == path.read_text(encoding="utf-8").rstrip("\n")


def test_a_recording_ends_where_the_record_does(kept):
    for entry in records.load():
        if (entry.corpus, entry.seed) == ("surnames", 2147483647):
            off = kept[entry.rung].dev_loss[-1].item() - entry.loss["dev"]
            assert abs(off) <= max(entry.tolerance, 1e-4), entry.rung


def test_a_live_run_is_held_against_the_recording_step_by_step(kept):
    (entry,) = (
        e
        for e in records.load()
        if (e.corpus, e.rung, e.seed) == ("surnames", "kaiming", 2147483647)
    )
    steps = ladder.snapshots(2_000)
    assert steps[-1] == 2_000
    assert set(steps[:-1]) < set(frame_steps(200_000))
    (run,) = records.replay([entry], steps=2_000, snapshots=steps)
    live = ladder.seen(run, "kaiming")
    assert ladder.difference(kept["kaiming"], live) < 1e-4
    assert ladder.difference(kept["saturation"], live) > 1e-3
    torch.testing.assert_close(live.white[:20], kept["kaiming"].white[:20])
