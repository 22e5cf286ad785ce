"""LSTM and GRU in Rust: a program that ``rustc`` compiles when it is first used."""

from pathlib import Path

from rnn_conformance import command

rust_loops = command(
    ["{program}"],
    folder=Path(__file__).parent,
    build=["rustc", "--edition=2021", "-O", "-o", "{program}", "rust_loops.rs"],
)
