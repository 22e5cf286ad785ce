"""Every kind in C: a program that is compiled by the machine's compiler when it is first used."""

from pathlib import Path

from rnn_conformance import command

c_loops = command(
    ["{program}"],
    folder=Path(__file__).parent,
    build=["cc", "-std=gnu11", "-O2", "-o", "{program}", "c_loops.c", "-lm"],
)
