"""Who does what next: a schedule on its own, without processes and without implementations."""

from typing import Any

import pytest

from rnn_conformance.checking.subject import PROFILES
from rnn_conformance.results.records import Entry, Outcome, Record
from rnn_conformance.running.jobs import (
    Candidate,
    Due,
    Errand,
    Found,
    Job,
    Limits,
    Source,
    Trying,
    shard,
)
from rnn_conformance.running.schedule import JOINED, Schedule

TRYING = Trying(PROFILES["quick"], 0)


def candidate(name: str, checks: int, *, family: bool = False) -> Candidate:
    due = tuple(Due(f"conformance/test_x.py::test_{n:02}", ("SHP-1",)) for n in range(checks))
    entry = Entry(name, "GRU", name, "inference", (), ("float32",))
    return Candidate(entry, Source("family" if family else name, family=family), due)


def schedule(*candidates: Candidate, **options: Any) -> Schedule:
    return Schedule(candidates, TRYING, options.pop("limits", Limits()), **options)


def take(schedule: Schedule, holding: object = None) -> Job:
    job = schedule.take(holding, wait=False)
    assert job is not None
    return job


def answer(job: Job, outcome: Outcome = Outcome.PASSED, seconds: float = 0.0) -> list[Found]:
    """What comes of a job each of whose checks ends so."""
    if job.errand is Errand.PROBE:
        return [Found(job, answer={"unusable": "", "without": [], "fatal": []})]
    if job.errand is Errand.DIAGNOSE:
        return [Found(job, one.due.check, answer={}) for one in job.failing]
    return [
        Found(
            job,
            due.check,
            Record(
                *job.candidate.key, due.check, due.clauses, outcome, seconds=seconds
            ).to_record(),
            evidence="shown" if outcome is Outcome.FAILED else "",
            died=outcome is Outcome.CRASHED,
        )
        for due in job.due
    ]


def finish(schedule: Schedule, job: Job, outcome: Outcome = Outcome.PASSED) -> list[Any]:
    for found in answer(job, outcome):
        schedule.give(found)
    return schedule.end(job)


def drain(schedule: Schedule) -> list[Job]:
    jobs = []
    while (job := schedule.take(wait=False)) is not None:
        jobs.append(job)
        finish(schedule, job)
    return jobs


def test_what_can_be_asked_comes_first_and_alone() -> None:
    plan = schedule(candidate("a", 3))
    job = take(plan)
    assert job.errand is Errand.PROBE
    assert plan.take(wait=False) is None
    finish(plan, job)
    assert take(plan).errand is Errand.EXAMINE


def test_every_check_is_handed_out_once_and_in_order() -> None:
    only = candidate("a", 5)
    jobs = drain(schedule(only, probe=False, per_job=2))
    assert [due for job in jobs for due in job.due] == list(only.due)
    assert [len(job.due) for job in jobs] == [2, 2, 1]


def test_what_takes_longest_is_begun_first() -> None:
    plan = schedule(candidate("short", 2), candidate("long", 5), probe=False)
    assert take(plan).candidate.entry.name == "long"
    assert take(plan).candidate.entry.name == "short"


def test_a_process_stays_with_what_it_holds() -> None:
    plan = schedule(candidate("short", 2), candidate("long", 5), probe=False)
    held = Source("short").holding
    assert take(plan, held).candidate.entry.name == "short"


@pytest.mark.parametrize(("checks", "joins"), [(JOINED + 1, True), (JOINED, False)])
def test_another_process_joins_only_where_enough_is_left(checks: int, joins: bool) -> None:
    plan = schedule(candidate("a", checks), probe=False)
    take(plan)
    assert (plan.take(wait=False) is not None) is joins


def test_members_of_a_family_take_turns() -> None:
    plan = schedule(candidate("a", 4, family=True), candidate("b", 3, family=True), probe=False)
    assert [take(plan, "family").candidate.entry.name for _ in range(2)] == ["a", "b"]
    assert plan.take("family", wait=False) is None


def test_failures_are_explained_together_in_the_order_of_the_checks() -> None:
    plan = schedule(candidate("a", JOINED + 4), probe=False)
    first, second = take(plan), take(plan)
    finish(plan, second, Outcome.FAILED)
    finish(plan, first, Outcome.FAILED)
    *_, last = drain(plan)
    assert last.errand is Errand.DIAGNOSE
    assert [one.due for one in last.failing] == [*first.due, *second.due]


def test_nothing_is_explained_where_nobody_asks() -> None:
    plan = schedule(candidate("a", 1), probe=False, explain=False)
    finish(plan, take(plan), Outcome.FAILED)
    assert plan.take(wait=False) is None


def test_after_so_many_deaths_the_rest_is_not_run() -> None:
    plan = schedule(candidate("a", 6), probe=False, limits=Limits(deaths=2))
    finish(plan, take(plan))
    finish(plan, take(plan), Outcome.CRASHED)
    given_up = finish(plan, take(plan), Outcome.CRASHED)
    assert [record["check"][-2:] for record in given_up] == ["03", "04", "05"]
    assert {record["outcome"] for record in given_up} == {Outcome.NOT_RUN.value}
    assert plan.take(wait=False) is None


def test_deaths_count_in_the_order_of_the_checks_whatever_ends_first() -> None:
    ends = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        plan = schedule(candidate("a", JOINED + 4), probe=False, limits=Limits(deaths=2))
        jobs = [take(plan) for _ in range(3)]
        given_up: list[Any] = []
        for number in order:
            given_up += finish(plan, jobs[number], Outcome.CRASHED)
        ends.append([record["check"] for record in given_up])
        # The third had been handed out before: what came of it does not count.
        assert ends[-1][0] == jobs[2].due[0].check
    assert ends[0] == ends[1] == ends[2]


def test_an_implementation_has_so_much_time_in_all() -> None:
    plan = schedule(candidate("a", 3), probe=False, limits=Limits(implementation=1.0))
    job = take(plan)
    for found in answer(job, seconds=2.0):
        plan.give(found)
    given_up = plan.end(job)
    assert [record["check"][-2:] for record in given_up] == ["01", "02"]
    assert "1 s" in given_up[0]["reason"]


def test_what_cannot_be_used_at_all_is_not_run_and_the_reason_is_told() -> None:
    plan = schedule(candidate("a", 2), candidate("b", 1))
    job = take(plan)
    plan.give(Found(job, answer={"unusable": "A() raises", "without": [], "fatal": []}))
    given_up = plan.end(job)
    assert [record["reason"] for record in given_up] == ["A() raises"] * 2
    assert {job.candidate.entry.name for job in drain(plan)} == {"b"}


def test_what_is_refused_at_first_is_left_out_of_every_check() -> None:
    plan = schedule(candidate("a", 1))
    job = take(plan)
    answer = {"unusable": "", "without": ["packed"], "fatal": [["dies", "crashed"]]}
    plan.give(Found(job, answer=answer))
    plan.end(job)
    trying = take(plan).trying
    assert (trying.without, trying.fatal) == (("packed",), (("dies", "crashed"),))


def test_what_is_known_already_is_not_run_again() -> None:
    only = candidate("a", 3)
    done = Record(*only.key, only.due[0].check, ("SHP-1",), Outcome.PASSED).to_record()
    plan = schedule(only, probe=False, known={only.key: {only.due[0].check: done}})
    assert [job.due[0] for job in drain(plan)] == [*only.due[1:]]


def test_a_stopped_schedule_hands_out_nothing() -> None:
    plan = schedule(candidate("a", 3), probe=False)
    plan.stop()
    assert plan.take() is None


def test_a_curtailed_one_only_explains() -> None:
    plan = schedule(candidate("a", 3), probe=False)
    finish(plan, take(plan), Outcome.FAILED)
    plan.curtail()
    assert [job.errand for job in drain(plan)] == [Errand.DIAGNOSE]


def test_shares_are_the_same_everywhere_and_together_everything() -> None:
    candidates = [candidate(f"c{n}", n % 5 + 1) for n in range(11)]
    shares = [shard(candidates, number, 3) for number in (1, 2, 3)]
    again = [shard(candidates[::-1], number, 3) for number in (1, 2, 3)]
    assert shares == again
    assert sorted(one.key for share in shares for one in share) == sorted(
        one.key for one in candidates
    )
    costs = [sum(len(one.due) for one in share) for share in shares]
    assert max(costs) - min(costs) <= 5
