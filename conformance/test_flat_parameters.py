"""PAR-5: ``flatten_parameters()`` and ``all_weights``."""

from rnn_conformance.checking import (
    Case,
    Config,
    NonConforming,
    Sort,
    Subject,
    assert_identical,
    cases,
    clause,
    difference,
    for_all,
    shown,
    snapshot,
)


def fails(case: Case, message: str) -> NonConforming:
    """A failure of a layer as such, beside any call."""
    return NonConforming(f"{case.config}: {message}", sort=Sort.SURFACE, calls=(case.call(),))


def flattened(subject: Subject, config: Config) -> list[list[str]]:
    """The parameters' names by layer and direction."""
    names = list(subject.implementation.names(config).values())
    count = len(names) // config.num_states
    return [names[i : i + count] for i in range(0, len(names), count)]


@clause("PAR-5")
@for_all(cases(), examples=0.5)
def test_flatten_parameters_changes_nothing_one_can_see(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    module = subject.module(call)
    first = torch_kit.answer(subject, module, call)
    before = snapshot(module.state_dict(), writes=False)
    those = list(module.parameters())
    with subject.doing(call, "flatten_parameters()"):
        returned = module.flatten_parameters()
    if returned is not None:
        raise fails(case, f"flatten_parameters() returned {shown(returned)}, not None")
    if what := difference(before, snapshot(module.state_dict(), writes=False)):
        raise fails(case, f"flatten_parameters() was seen: {what}")
    if [id(p) for p in those] != [id(p) for p in module.parameters()]:
        raise fails(case, "flatten_parameters() replaced parameters")
    again = torch_kit.answer(subject, module, call)
    assert_identical(first, again, what="the same call after flatten_parameters()")


@clause("PAR-5")
@for_all(cases(), examples=0.5)
def test_all_weights_lists_the_parameters_by_layer_and_direction(
    subject: Subject, case: Case
) -> None:
    module = subject.module(case.call())
    with subject.doing(case.call(), "all_weights"):
        weights = [list(place) for place in module.all_weights]
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    listed = [[names.get(id(p), "no parameter of its own") for p in place] for place in weights]
    if listed != (due := flattened(subject, case.config)):
        raise fails(case, f"all_weights lists {listed}, not {due}")
