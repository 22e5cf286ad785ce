"""DEP: out of eager mode. Optional: what fails here counts for no verdict and no level."""

from rnn_conformance.checking import (
    Case,
    Dtype,
    Feature,
    Gap,
    State,
    Subject,
    Unsupported,
    Values,
    cases,
    clause,
    for_all,
)

DENSE = cases(
    Feature.INITIAL_STATE,
    without=[Feature.PACKED],
    states=[State.GIVEN],
    layers=(1, 2),
    values=[Values.TYPICAL],
    dtypes=[Dtype.FLOAT32],
    degenerate=False,
)


@clause("DEP-1")
@for_all(DENSE, examples=0.05)
def test_compiled_gives_what_eager_gives(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.compiler_needed(subject)
    torch_kit.equals_eager(subject, case.call(), torch_kit.compiled, "torch.compile")


@clause("DEP-2")
@for_all(DENSE, examples=0.05)
def test_exported_gives_what_eager_gives(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.compiler_needed(subject)
    torch_kit.equals_eager(subject, case.call(), torch_kit.exported, "torch.export")


@clause("DEP-3")
@for_all(DENSE, examples=0.1)
def test_traced_gives_what_eager_gives(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.equals_eager(subject, case.call(), torch_kit.traced, "torch.jit.trace")


@clause("DEP-3")
@for_all(DENSE, examples=0.05)
def test_scripted_gives_what_eager_gives(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.equals_eager(subject, case.call(), torch_kit.scripted, "torch.jit.script")


@clause("DEP-4")
@for_all(DENSE, examples=0.02)
def test_an_onnx_graph_gives_what_eager_gives(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.compiler_needed(subject)
    torch_kit.equals_eager(subject, case.call(), torch_kit.through_onnx, "ONNX export")


@clause("DEP-5")
@for_all(
    cases(
        Feature.INITIAL_STATE,
        without=[Feature.PACKED, Feature.UNBATCHED],
        values=[Values.TYPICAL],
        degenerate=False,
    ),
    examples=0.25,
)
def test_mapped_over_samples_gives_what_the_batch_gives(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    if Feature.UNBATCHED not in subject.features:
        raise Unsupported(
            "does not declare unbatched, which is what vmap makes of a batch", Gap.UNDECLARED
        )
    call = case.call()
    torch_kit.equals_eager(subject, call, torch_kit.mapped(call), "torch.func.vmap")
