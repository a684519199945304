"""Which service job of a queue starts, and which gives way."""

from __future__ import annotations

from typing import Any

from localcloud.compute.queued.rules import NUM_INSTANCES, Job, Share, by_quota, in_order

LIMITS = {NUM_INSTANCES: 4}


def job(name: str, instances: int = 1, since: float = 0, **more: Any) -> Job:
    return Job(name, "ml.m5.large", instances, since, **more)


class TestInOrder:
    def test_starts_until_the_environment_is_full_and_lets_nobody_past_the_first_who_waits(self) -> None:
        decision = in_order(LIMITS, [job("a", 3), job("b", 2), job("c", 1)], [])
        assert decision.starts == ["a"]

    def test_a_job_that_never_fits_holds_up_nobody(self) -> None:
        decision = in_order(LIMITS, [job("huge", 5), job("b", 2)], [job("r", 2)])
        assert (decision.starts, decision.stuck) == (["b"], ["huge"])

    def test_counts_instances_of_one_type_where_the_environment_does(self) -> None:
        decision = in_order({"ml.p3.2xlarge": 4}, [job("a")], [])
        assert decision.stuck == ["a"]


class TestQuotaShares:
    OWN = Share("own", {NUM_INSTANCES: 2})
    BORROWS = Share("borrows", {NUM_INSTANCES: 2}, borrows=True, borrow_percent=100)
    KEEPS = Share("keeps", {NUM_INSTANCES: 2}, lends=False)

    def test_a_share_has_what_it_is_entitled_to_and_no_more(self) -> None:
        waiting = [job(str(number), since=number, share="own") for number in range(3)]
        assert by_quota(LIMITS, [self.OWN, self.BORROWS], waiting, []).starts == ["0", "1"]

    def test_borrows_what_another_lends_and_does_not_use(self) -> None:
        waiting = [job(str(number), since=number, share="borrows") for number in range(5)]
        assert by_quota(LIMITS, [self.OWN, self.BORROWS], waiting, []).starts == ["0", "1", "2", "3"]

    def test_borrows_nothing_of_a_share_that_keeps_its_own(self) -> None:
        waiting = [job(str(number), since=number, share="borrows") for number in range(5)]
        assert by_quota(LIMITS, [self.KEEPS, self.BORROWS], waiting, []).starts == ["0", "1"]

    def test_takes_back_what_is_its_own_from_the_newest_who_borrowed(self) -> None:
        running = [job(str(number), since=number, share="borrows") for number in range(4)]
        decision = by_quota(LIMITS, [self.OWN, self.BORROWS], [job("mine", share="own")], running)
        assert (decision.starts, decision.preempts) == ([], ["3"])

    def test_a_more_urgent_job_takes_a_place_within_its_share_where_that_is_allowed(self) -> None:
        share = Share("own", {NUM_INSTANCES: 1}, preempts_within=True)
        running = [job("low", share="own", priority=1)]
        urgent = [job("urgent", share="own", priority=9)]
        assert by_quota(LIMITS, [share], urgent, running).preempts == ["low"]
        equal = [job("equal", share="own", priority=1)]
        assert by_quota(LIMITS, [share], equal, running).preempts == []

    def test_a_share_that_is_not_there_or_too_small_makes_a_job_stuck(self) -> None:
        decision = by_quota(LIMITS, [self.OWN], [job("a", share="gone"), job("b", 3, share="own")], [])
        assert sorted(decision.stuck) == ["a", "b"]
