"""The table of a job's life: what each event does in each state, and that nothing leaves a terminal one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.jobs.job import Allocation, Backend, Job, JobStatus, TimeLimit
from chalicelib.jobs.life import (
    EVENTS,
    OPEN,
    AttemptPlanned,
    CancelRequested,
    CheckpointsOverdue,
    CheckpointsResumed,
    Ended,
    Entered,
    Event,
    ModelRegistered,
    Moved,
    Observed,
    Requeued,
    Started,
    State,
    Submitted,
    apply,
    event_from,
    state_of,
)
from chalicelib.quotas.quota import Amounts, Reservation
from tests.faults import Shows

SEQUENCES = int(os.environ.get("AIMATRIX_SEQUENCES", "300"))
"""Random sequences that each property is tried on; `make faults` tries 10,000."""

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALLOCATION = Allocation(Backend.SAGEMAKER, "ml.m5.large", 1, 0, None, 2, 8, 30, Decimal("0.115"), "list", "2026-01-01")
JOB = Job(
    tenant="acme",
    job_id="j",
    user="alice",
    name="n",
    framework="sklearn",
    config={},
    allocation=ALLOCATION,
    created_at=NOW,
    updated_at=NOW,
    time_limit=TimeLimit(60),
    reservation=Reservation("2026-03", Amounts()),
)
LARGER = replace(
    ALLOCATION, instance_type="ml.m5.xlarge", cpu_cores=4, memory_gb=16, price_per_hour_usd=Decimal("0.23")
)
RESERVED = Reservation("2026-03", Amounts(cpu_seconds=640, cost_usd=Decimal("0.02")))
USED = Amounts(cpu_seconds=120, cost_usd=Decimal("0.01"))

moments = st.integers(0, 10_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
words = st.sampled_from(["Starting", "Downloading", "Training"])
events: st.SearchStrategy[Event] = st.one_of(
    st.just(Submitted()),
    st.builds(Entered, st.just("sagemaker-t4"), st.none() | st.just("Waits for 1 of 4.")),
    st.builds(AttemptPlanned, st.integers(1, 5)),
    st.builds(Observed, words),
    st.builds(Started, moments, st.none() | words),
    st.builds(Requeued, st.integers(2, 5), st.just("Preempted by x.")),
    st.builds(Moved, st.integers(2, 5), st.just(LARGER), st.just(TimeLimit(40)), st.just(RESERVED)),
    st.builds(CheckpointsOverdue, moments),
    st.just(CheckpointsResumed()),
    st.builds(CancelRequested, moments),
    st.builds(ModelRegistered, st.sampled_from(["m-1", "m-2"])),
    st.builds(
        Ended,
        st.sampled_from([JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED]),
        moments,
        st.just(USED),
        st.none() | st.just("ValueError: no"),
        st.none() | moments,
        st.none() | words,
        st.just(()) | st.just(({"name": "model.tar.gz", "size_bytes": 3},)),
    ),
)


def in_state(state: State) -> Job:
    match state:
        case State.PENDING:
            return JOB
        case State.QUEUED:
            return replace(JOB, pool="p", waiting_reason="Waits.")
        case State.RUNNING:
            return replace(JOB, status=JobStatus.RUNNING, attempts=1, started_at=NOW)
        case State.STOPPING:
            return replace(JOB, status=JobStatus.RUNNING, attempts=1, started_at=NOW, cancel_requested_at=NOW)
    return replace(JOB, status=JobStatus(state.value), attempts=1, completed_at=NOW)


class TestStates:
    @pytest.mark.parametrize("state", State)
    def test_are_told_from_the_record(self, state: State) -> None:
        assert state_of(in_state(state)) is state

    @pytest.mark.parametrize("state", [State.PENDING, State.QUEUED, State.RUNNING, State.STOPPING])
    def test_are_all_left_by_an_end(self, state: State) -> None:
        ended = apply(in_state(state), Ended(JobStatus.FAILED, NOW, USED, "why"))
        assert (state_of(ended), ended.failure_reason, ended.used) == (State.FAILED, "why", USED)


class TestTransitions:
    def test_waiting_ends_when_an_attempt_is_planned(self) -> None:
        queued = apply(JOB, Entered("p", "Waits for 1."))
        assert (state_of(queued), queued.secondary_status) == (State.QUEUED, "AwaitingCapacity")
        planned = apply(queued, AttemptPlanned(1))
        assert (state_of(planned), planned.secondary_status, planned.attempts) == (State.PENDING, None, 1)

    def test_a_move_changes_what_the_job_runs_on_and_holds_and_leaves_its_pool(self) -> None:
        running = replace(in_state(State.RUNNING), pool="sagemaker/cpu")
        moved = apply(running, Moved(2, LARGER, TimeLimit(40), RESERVED))
        assert (state_of(moved), moved.attempts, moved.pool, moved.started_at) == (State.PENDING, 2, None, NOW)
        assert (moved.allocation, moved.time_limit, moved.reservation) == (LARGER, TimeLimit(40), RESERVED)

    def test_the_first_start_counts(self) -> None:
        started = apply(apply(JOB, Started(NOW, "Training")), Started(NOW + timedelta(hours=1)))
        assert (started.started_at, started.secondary_status) == (NOW, "Training")

    def test_a_running_job_does_not_go_back_to_what_comes_before(self) -> None:
        running = in_state(State.RUNNING)
        assert apply(running, Observed("Downloading")) is running
        assert apply(running, Entered("p", "Waits.")) is running

    def test_the_first_wish_to_cancel_stays(self) -> None:
        first = apply(in_state(State.RUNNING), CancelRequested(NOW))
        assert state_of(first) is State.STOPPING
        assert apply(first, CancelRequested(NOW + timedelta(hours=1))) is first

    def test_attempts_never_go_down(self) -> None:
        assert apply(replace(JOB, attempts=3), AttemptPlanned(2)).attempts == 3


class TestAnySequence:
    def test_is_absorbed_by_the_first_terminal_state(self, shows: Shows) -> None:
        tried, late = 0, 0

        @settings(max_examples=SEQUENCES, deadline=None)
        @given(st.lists(events, max_size=25))
        def run(sequence: list[Event]) -> None:
            nonlocal tried, late
            job = JOB
            for event in sequence:
                after = apply(job, event)
                if state_of(job) not in OPEN:
                    late += 1
                    assert after is job
                assert after.attempts >= job.attempts or isinstance(event, Requeued)
                job = after
            tried += 1

        run()
        shows(6, f"{tried} random sequences, {late} events after the end, 0 had an effect")

    def test_is_the_same_when_events_come_several_times(self, shows: Shows) -> None:
        tried = 0

        @settings(max_examples=SEQUENCES, deadline=None)
        @given(st.lists(st.tuples(events, st.integers(1, 5)), max_size=15))
        def run(sequence: list[tuple[Event, int]]) -> None:
            nonlocal tried
            once = many = JOB
            for event, times in sequence:
                once = apply(once, event)
                for _ in range(times):
                    many = apply(many, event)
            assert once == many
            tried += 1

        run()
        shows(5, f"{tried} random sequences, each event 1 to 5 times: 0 differences")

    def test_replayed_from_what_is_written_of_it_gives_the_same_job(self, shows: Shows) -> None:
        tried = 0

        @settings(max_examples=SEQUENCES, deadline=None)
        @given(st.lists(events, max_size=25))
        def run(sequence: list[Event]) -> None:
            nonlocal tried
            job = replayed = JOB
            for event in sequence:
                job = apply(job, event)
                replayed = apply(replayed, event_from(event.to_dict()))
            assert replayed == job
            tried += 1

        run()
        shows(6, f"{tried} random sequences: replay equals record")


class TestTheTable:
    def test_has_a_line_for_every_event(self) -> None:
        assert set(EVENTS) == set(_all_events())

    def test_is_the_only_place_where_a_status_is_set(self) -> None:
        room = Path(__file__).parents[3] / "chalicelib"
        setting = re.compile(r"replace\([^)]*\b(?:status|cancel_requested_at|attempts|waiting_reason)=", re.DOTALL)
        places = {
            path.relative_to(room).as_posix()
            for folder in ("jobs", "capacity", "costs")
            for path in (room / folder).glob("*.py")
            if setting.search(path.read_text(encoding="utf-8"))
        }
        assert places == {"jobs/life.py"}


def _all_events() -> Iterator[type[Event]]:
    yield from Event.__subclasses__()
