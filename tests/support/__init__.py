"""What several tests need, and the benchmarks with them.

The suite judges others, so its own tests ask three things of it, each with its own material:

- That it passes what is right. ``miniatures`` (forwards), ``gradient_ways`` (backwards) and
  ``right_classes`` (surfaces) are the ways in which correct implementations legally differ from
  one another; none of them may fail. Whoever finds another legal way adds it here.
- That it fails what is wrong. What is wrong on purpose is a mutant of the package, so that
  ``rnn-conformance power`` measures it; only what is too small to be seen in every case stays
  here (``small_defects``), with the share of cases that show it.
- That what it says of them is right: ``made_results`` are records without a run, ``pages`` reads
  what is rendered from them.

The calls are drawn without Hypothesis (``random_calls``), since nothing is to be shrunk where
the expectation is known to hold, or have a structure under which errors of rounding do not
average out (``structured_calls``). Whatever an expectation is compared with is computed in
another way than the package computes it: by finite differences, by torch in float64, by plain
Python, by algebra.

No test imports another test: what two of them need is here.
"""
