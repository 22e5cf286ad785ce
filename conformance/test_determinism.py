"""DET: the same call, again and from several threads."""

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import numpy as np

from rnn_conformance.checking import (
    Call,
    Case,
    Feature,
    Subject,
    assert_equivalent,
    assert_identical,
    cases,
    clause,
    contained,
    for_all,
)

ROUNDS = 4


def stir(seed: int) -> None:
    """Seed the global generators of random numbers by the case.

    Hypothesis seeds them alike for every case, and a layer is built after a fixed seed:
    what happens now and then by chance would happen in every case or in none.
    """
    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(seed)


@clause("DET-1")
@for_all(cases())
def test_the_same_call_gives_the_same_bits(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = subject.build(call)
    stir(case.seed)
    first = layer(call)
    for _ in range(ROUNDS):
        assert_identical(first, layer(call), what="the same call again")


@clause("DET-1")
@for_all(cases())
def test_a_layer_of_the_same_parameters_gives_the_same_bits(subject: Subject, case: Case) -> None:
    call = case.call()
    assert_identical(subject(call), subject(call), what="another layer of the same parameters")


@clause("DRP-4")
@for_all(cases(Feature.DROPOUT, Feature.MULTI_LAYER), examples=0.5)
def test_the_same_call_in_training_after_the_same_seed_gives_the_same_bits(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    layer = torch_kit.Training(subject, call.replace(config=replace(call.config, dropout=0.5)))
    first = layer(call, seed=case.seed)
    assert_identical(
        first, layer(call, seed=case.seed), what="the same call after the same manual_seed"
    )


@clause("DET-2")
@for_all(cases())
def test_two_threads_get_what_each_would_get_alone(subject: Subject, case: Case) -> None:
    call = case.call()
    calls = call, call.replace(input=-call.input[::-1])
    bare = subject.bare(call)
    alone = [subject(own_call) for own_call in calls]
    # Made and read outside: what a layer does to NumPy for a while must not reach us.
    given = [[bare.arguments(own_call.arguments) for _ in range(ROUNDS)] for own_call in calls]
    start = Barrier(len(calls))

    def several(call: Call, given: list[tuple[Any, ...]]) -> list[Any]:
        start.wait()
        with subject.doing(call):
            return [bare.layer(*arguments) for arguments in given]

    interval = sys.getswitchinterval()
    # So that threads take turns within calls, however short those are.
    sys.setswitchinterval(1e-6)
    try:
        # Set back when both are done: not by one while the other is at work.
        with contained(), ThreadPoolExecutor(len(calls)) as pool:
            together = list(pool.map(several, calls, given))
    finally:
        sys.setswitchinterval(interval)
    for own_call, first, returned in zip(calls, alone, together, strict=True):
        for one in returned:
            result = subject.result(own_call, one)
            assert_equivalent(first, result, what="called from two threads at once")
