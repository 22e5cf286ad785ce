"""INV: laws that hold of every correct layer, whatever the equations give.

Each compares the implementation with itself; the oracle only says how far two correct
results may differ.
"""

import numpy as np

from rnn_conformance.checking import (
    Array,
    Call,
    Case,
    Config,
    Feature,
    Kind,
    Role,
    State,
    Subject,
    assert_close,
    assert_equivalent,
    between_calls,
    cases,
    clause,
    for_all,
)


@clause("INV-1")
@for_all(cases(without=[Feature.UNBATCHED]))
def test_permuting_the_batch_permutes_the_results(subject: Subject, case: Case) -> None:
    call = case.call()
    order = np.random.default_rng(case.seed).permutation(call.batch)
    layer = subject.build(call)
    result, permuted = layer(call), layer(call.samples(order))
    for name in call.results:
        assert_close(
            name,
            permuted[name],
            result[name][:, order],
            between_calls(result, name)[:, order],
            calls=(call, permuted.call),
            what=f"samples in the order {order.tolist()}",
        )


@clause("INV-1")
@for_all(cases(without=[Feature.UNBATCHED], batch=(3, 5)))
def test_a_change_in_one_sample_changes_that_sample_alone(subject: Subject, case: Case) -> None:
    call = case.call()
    chosen = case.seed % call.batch
    data = call.input.copy()
    data[:, chosen] = -data[:, chosen]
    layer = subject.build(call)
    result, changed = layer(call), layer(call.replace(input=data))
    for name in call.results:
        bound = between_calls(result, name)
        bound[:, chosen] = np.inf
        assert_close(
            name,
            changed[name],
            result[name],
            bound,
            calls=(call, changed.call),
            what=f"only sample {chosen} was changed",
        )


@clause("INV-1")
@for_all(cases(without=[Feature.UNBATCHED, Feature.PACKED], degenerate=False))
def test_a_batch_in_two_parts_gives_the_same(subject: Subject, case: Case) -> None:
    call = case.call()
    cut = call.batch // 2
    layer = subject.build(call)
    whole = layer(call)
    parts = [layer(call.samples(slice(0, cut))), layer(call.samples(slice(cut, None)))]
    for name in call.results:
        assert_close(
            name,
            whole[name],
            np.concatenate([part[name] for part in parts], axis=1),
            between_calls(whole, name),
            calls=(*(part.call for part in parts), call),
            what=f"the batch cut at sample {cut}",
        )


@clause("INV-2")
@for_all(cases(without=[Feature.PROJECTION]))
def test_permuting_hidden_units_permutes_the_results(subject: Subject, case: Case) -> None:
    call, config = case.call(), case.config
    size, gates = config.hidden_size, len(config.kind.gates)
    order = np.random.default_rng(case.seed).permutation(size)
    rows = np.concatenate([gate * size + order for gate in range(gates)])
    features = np.concatenate([d * size + order for d in range(config.num_directions)])
    parameters = {}
    for name, array in call.parameters.items():
        moved, parameter = array[rows], config.parameters[name]
        if parameter.role is Role.WEIGHT_HH:
            moved = moved[:, order]
        elif parameter.role is Role.WEIGHT_IH and parameter.layer > 0:
            moved = moved[:, features]
        parameters[name] = moved
    permuted = call.replace(
        parameters=parameters,
        h_0=None if call.h_0 is None else call.h_0[..., order],
        c_0=None if call.c_0 is None else call.c_0[..., order],
    )
    result, moved_result = subject(call), subject(permuted)
    for name in call.results:
        columns = features if name == "output" else order
        assert_close(
            name,
            moved_result[name],
            result[name][..., columns],
            between_calls(result, name)[..., columns],
            calls=(call, permuted),
            what=f"hidden units in the order {order.tolist()}",
        )


def reads_input(config: Config, name: str) -> bool:
    """Whether a parameter is multiplied with the input."""
    parameter = config.parameters[name]
    return parameter.role is Role.WEIGHT_IH and parameter.layer == 0


@clause("INV-2")
@for_all(cases())
def test_permuting_input_features_with_their_weights_changes_nothing(
    subject: Subject, case: Case
) -> None:
    call = case.call()
    order = np.random.default_rng(case.seed).permutation(case.config.input_size)
    permuted = call.replace(
        input=call.input[..., order],
        parameters={
            name: array[:, order] if reads_input(case.config, name) else array
            for name, array in call.parameters.items()
        },
    )
    assert_equivalent(
        subject(call), subject(permuted), what=f"input features in the order {order.tolist()}"
    )


@clause("INV-3")
@for_all(cases(without=[Feature.PACKED], states=[State.GIVEN], layers=(1, 1)))
def test_zero_weights_and_biases_give_the_closed_form(subject: Subject, case: Case) -> None:
    call = case.call()
    zeros = {name: 0.0 * array for name, array in call.parameters.items()}
    closed(subject, call.replace(parameters=zeros))


@clause("INV-3")
@for_all(
    cases(
        without=[Feature.PACKED, Feature.PROJECTION, Feature.MULTI_LAYER],
        states=[State.GIVEN],
    )
)
def test_constant_gates_give_the_closed_form(subject: Subject, case: Case) -> None:
    # Weights of zero leave the biases alone: every gate is the same at every step.
    call = case.call()
    closed(
        subject,
        call.replace(
            parameters={
                name: array if case.config.parameters[name].role.is_bias else 0.0 * array
                for name, array in call.parameters.items()
            },
        ),
    )


def closed(subject: Subject, call: Call) -> None:
    """Compare with the closed form of constant gates, after ``t`` steps from ``h_0``, ``c_0``.

    RNN: ``h = f(b)``. LSTM: ``c = f^t c_0 + i g (1 + f + … + f^(t-1))``, ``h = o tanh c``.
    GRU: ``h = z^t h_0 + (1 - z) n (1 + z + … + z^(t-1))``. In extended precision where there
    is one, since it must not be less accurate than what it judges.
    """
    config = call.config
    result = subject(call)
    last: dict[str, list[Array]] = {"h_n": [], "c_n": []}
    halves = []
    for layer, direction in config.places():
        place = layer * config.num_directions + direction
        states = _closed_states(call, layer, direction, place)
        last["h_n"].append(states["h"][-1])
        last["c_n"].append(states["c"][-1])
        if layer == config.num_layers - 1:
            halves.append(states["h"][::-1] if direction else states["h"])
    expected = {"output": np.concatenate(halves, axis=-1)}
    expected |= {name: np.stack(arrays) for name, arrays in last.items()}
    for name in call.results:
        assert_close(
            name,
            result[name],
            expected[name],
            subject.expected(call).bounds[name],
            calls=(call,),
            what="constant gates have a closed form",
        )


def _closed_states(call: Call, layer: int, direction: int, place: int) -> dict[str, Array]:
    config = call.config
    size, gates = config.hidden_size, len(config.kind.gates)
    zero = np.zeros(gates * size)
    b, b_hh = (
        call.parameters.get(config.parameter_name(role, layer, direction), zero)
        .astype(np.longdouble)
        .reshape(gates, size)
        for role in (Role.BIAS_IH, Role.BIAS_HH)
    )
    t = np.arange(1, call.length + 1, dtype=np.longdouble)[:, None, None]
    assert call.h_0 is not None
    h_0 = call.h_0[place].astype(np.longdouble)

    def sigmoid(x: Array) -> Array:
        return 1.0 / (1.0 + np.exp(-x))

    def geometric(ratio: Array) -> Array:
        """``1 + ratio + … + ratio^(t-1)``, summed: ``1 - ratio`` may cancel."""
        return np.cumsum(ratio ** (t - 1.0), axis=0)

    if config.kind is Kind.LSTM:
        assert call.c_0 is not None
        i, f, g, o = b + b_hh
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f**t * call.c_0[place].astype(np.longdouble) + i * g * geometric(f)
        h = o * np.tanh(c)
        if config.proj_size:
            h = 0.0 * h[..., : config.proj_size]
    elif config.kind is Kind.GRU:
        r, z = sigmoid(b[0] + b_hh[0]), sigmoid(b[1] + b_hh[1])
        n = np.tanh(b[2] + r * b_hh[2])
        c = h = z**t * h_0 + (1.0 - z) * n * geometric(z)
    else:
        activated = b[0] + b_hh[0]
        relu = config.nonlinearity == "relu"
        activated = np.maximum(activated, 0.0) if relu else np.tanh(activated)
        c = h = activated + np.zeros((call.length, call.batch, size), dtype=np.longdouble)
    return {"h": h.astype(np.float64), "c": c.astype(np.float64)}


@clause("INV-4")
@for_all(cases(Feature.BIDIRECTIONAL, without=[Feature.PACKED]))
def test_swapping_directions_and_flipping_time_swaps_the_halves(
    subject: Subject, case: Case
) -> None:
    call, config = case.call(), case.config
    size = config.output_size

    def halves(array: Array) -> Array:
        return np.concatenate([array[..., size:], array[..., :size]], axis=-1)

    parameters = {}
    for name, parameter in config.parameters.items():
        role, layer = parameter.role, parameter.layer
        array = call.parameters[config.parameter_name(role, layer, 1 - parameter.direction)]
        upper = role is Role.WEIGHT_IH and layer > 0
        parameters[name] = halves(array) if upper else array
    places = np.arange(config.num_states).reshape(-1, 2)[:, ::-1].ravel()
    swapped = call.replace(
        parameters=parameters,
        input=call.input[::-1],
        h_0=None if call.h_0 is None else call.h_0[places],
        c_0=None if call.c_0 is None else call.c_0[places],
    )
    result, other_result = subject(call), subject(swapped)
    for name in call.results:
        output, bound = name == "output", between_calls(result, name)
        assert_close(
            name,
            other_result[name],
            halves(result[name])[::-1] if output else result[name][places],
            halves(bound)[::-1] if output else bound[places],
            calls=(call, swapped),
            what="directions swapped and time flipped",
        )
