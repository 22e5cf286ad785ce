"""How a fresh layer's parameters are distributed, where that is not as in ``torch.nn`` (PAR-2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import erf, sqrt

import numpy as np

from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.causes import Experiments
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config, Feature, Role

BEGINNINGS = Experiments()

HIDDEN, INPUTS, PROJECTED = 32, 24, 10
"""Sizes whose roots, sums and quotients are told apart."""

LAYERS = 6
"""Fresh layers that are looked at together: 18,000 numbers a weight, the fewest 600 a bias."""

MANY = 2_000
"""Numbers of which a distribution can be told that has no name."""

FIX = "Begin all parameters uniform in ±1/sqrt(hidden_size), weights and biases alike."


@lru_cache(maxsize=2)
def _fresh(subject: Subject, *, again: bool = False) -> Mapping[Role, list[Array]]:
    """Each parameter of some fresh layers, made once for all experiments, and once ``again``.

    Raises ``Unsupported`` for what is no class.
    """
    config = Config(subject.kind, INPUTS, HIDDEN)
    found = _parameters(subject, config)
    return {parameter.role: found[name] for name, parameter in config.parameters.items()}


def _parameters(subject: Subject, config: Config) -> Mapping[str, list[Array]]:
    """Each parameter of some fresh layers, by ``torch.nn``'s names."""
    # Loads torch, which the class that is looked at is written in.
    import torch

    names = subject.implementation.names(config)
    cls, keywords = subject.implementation.module_class, subject.implementation.keywords(config)
    found: dict[str, list[Array]] = {}
    for seed in range(LAYERS):
        torch.manual_seed(seed)
        parameters = dict(cls(**keywords).named_parameters())
        for name in config.parameters:
            array = parameters[names[name]].detach().cpu().double().numpy()
            found.setdefault(name, []).append(np.array(array))
    return found


def _weights(found: Mapping[Role, list[Array]]) -> dict[Role, list[Array]]:
    return {role: arrays for role, arrays in found.items() if not role.is_bias}


def _biases(found: Mapping[Role, list[Array]]) -> dict[Role, list[Array]]:
    return {role: arrays for role, arrays in found.items() if role.is_bias}


def _is_usual(array: Array) -> bool:
    """Whether numbers are spread evenly over ±1/sqrt(hidden_size)."""
    return _is_spread(array, HIDDEN**-0.5)


def _is_spread(array: Array, limit: float) -> bool:
    """Whether numbers are uniform in ±limit: by the largest, and by their distribution."""
    numbers = np.sort(array.ravel())
    if not (1 - 20 / numbers.size) * limit < np.abs(numbers).max() <= limit * (1 + 1e-6):
        return False
    return _distance(numbers, lambda x: (x / limit + 1.0) / 2.0)


def _is_normal(array: Array, deviation: float) -> bool:
    """Whether numbers are normal: they have no limit, and so some are far out."""
    furthest = np.abs(array).max() / deviation
    if furthest < (3.2 if array.size > MANY else 2.6):
        return False
    spread = np.vectorize(lambda x: 0.5 * (1.0 + erf(x / (deviation * sqrt(2.0)))))
    return _distance(np.sort(array.ravel()), spread)


def _distance(numbers: Array, distribution: Callable[[Array], Array]) -> bool:
    """Whether a sample is of a distribution, as far as its largest distance from it tells.

    Of Kolmogorov's statistic 2.5/sqrt(n) is exceeded with a probability of 1e-5.
    """
    steps = np.arange(1, numbers.size + 1) / numbers.size
    return bool(np.abs(steps - distribution(numbers)).max() < 2.5 / np.sqrt(numbers.size))


def _is_orthogonal(array: Array) -> bool:
    """Whether the columns, or the columns of each gate's block, are orthonormal."""
    blocks = [array, *np.split(array, max(1, array.shape[0] // HIDDEN))]
    return any(np.allclose(block.T @ block, np.eye(block.shape[1]), atol=1e-4) for block in blocks)


@BEGINNINGS.add(
    "initial values that no seed decides",
    "PAR-2",
    fix="Draw initial values from torch's generator, so that torch.manual_seed decides them.",
)
def _unseeded(subject: Subject) -> str:
    one, other = _fresh(subject), _fresh(subject, again=True)
    differ = any(
        not np.array_equal(*pair)
        for role in one
        for pair in zip(one[role], other[role], strict=True)
    )
    return "layers made after the same torch.manual_seed differ" * differ


@BEGINNINGS.add(
    "initial values that are the same in every layer that is made",
    "PAR-2",
    fix="Draw initial values from torch's generator as it goes on, without seeding it.",
)
def _seeded(subject: Subject) -> str:
    for role, arrays in _fresh(subject).items():
        if all(np.array_equal(arrays[0], array) for array in arrays[1:]) and np.ptp(arrays[0]):
            return f"{role.value} is the same after every seed"
    return ""


@BEGINNINGS.add(
    "the same initial values in every layer or direction",
    "PAR-2",
    fix="Draw the initial values of each layer and direction by themselves.",
)
def _alike(subject: Subject) -> str:
    import torch

    config = Config(subject.kind, HIDDEN, HIDDEN, num_layers=2, bidirectional=True)
    names, module = subject.implementation.names(config), subject.implementation.construct(config)
    parameters = dict(module.named_parameters())
    role = Role.WEIGHT_HH
    arrays = [
        parameters[names[config.parameter_name(role, *place)]].detach() for place in config.places()
    ]
    same = any(torch.equal(arrays[0], array) for array in arrays[1:])
    return f"{role.value} of a fresh layer is that of another layer or direction" * same


@BEGINNINGS.add("biases that begin as zeros", "PAR-2", fix=FIX)
def _zero_biases(subject: Subject) -> str:
    zero = [
        role.value
        for role, arrays in _biases(_fresh(subject)).items()
        if not any(array.any() for array in arrays)
    ]
    return f"{' and '.join(zero)} of fresh layers are zeros" if zero else ""


@BEGINNINGS.add("a forget gate that begins open", "PAR-2", fix=FIX)
def _open(subject: Subject) -> str:
    gates = subject.kind.gates
    if "f" not in gates:
        return ""
    for role, arrays in _biases(_fresh(subject)).items():
        blocks = [np.split(array, len(gates)) for array in arrays]
        for number, _ in enumerate(gates):
            part = np.concatenate([block[number] for block in blocks])
            if np.ptp(part) == 0.0 and part[0] >= 0.5:
                return f"{role.value}[{number}H:{number + 1}H] of fresh layers is {part[0]:g}"
    return ""


@BEGINNINGS.add("orthogonal weights", "PAR-2", fix=FIX)
def _orthogonal(subject: Subject) -> str:
    found = [
        role.value
        for role, arrays in _weights(_fresh(subject)).items()
        if all(map(_is_orthogonal, arrays))
    ]
    return f"{' and '.join(found)} of fresh layers is orthogonal" if found else ""


def _deviations(config: Config, role: Role) -> dict[str, float]:
    """Deviations of normal numbers that are in use, by their formulas."""
    fan = INPUTS if role is Role.WEIGHT_IH else HIDDEN
    rows = len(config.kind.gates) * HIDDEN
    return {
        "1/sqrt(hidden_size)": HIDDEN**-0.5,
        "1/sqrt(3 hidden_size)": (3 * HIDDEN) ** -0.5,
        "1/sqrt(fan_in)": fan**-0.5,
        "sqrt(2/fan_in)": (2 / fan) ** 0.5,
        "sqrt(2/(fan_in + fan_out))": (2 / (fan + rows)) ** 0.5,
        "sqrt(2/(fan_in + hidden_size))": (2 / (fan + HIDDEN)) ** 0.5,
        "1": 1.0,
        "0.1": 0.1,
        "0.02": 0.02,
        "0.01": 0.01,
    }


def _limits(config: Config, role: Role) -> dict[str, float]:
    """Limits of uniform numbers that are in use, other than the right one."""
    fan = INPUTS if role is Role.WEIGHT_IH else HIDDEN
    rows = len(config.kind.gates) * HIDDEN
    return {
        "1": 1.0,
        "0.1": 0.1,
        "0.05": 0.05,
        "1/hidden_size": 1 / HIDDEN,
        "1/sqrt(input_size)": INPUTS**-0.5,
        "1/sqrt(gates hidden_size)": rows**-0.5,
        "sqrt(6/(fan_in + fan_out)), as Glorot and Bengio have it,": (6 / (fan + rows)) ** 0.5,
        "sqrt(6/(fan_in + hidden_size)), as Glorot and Bengio have it,": (6 / (fan + HIDDEN))
        ** 0.5,
        "sqrt(6/fan_in), as He et al. have it,": (6 / fan) ** 0.5,
        "sqrt(3/fan_in)": (3 / fan) ** 0.5,
    }


@BEGINNINGS.add("initial values within another limit", "PAR-2", fix=FIX)
def _limit(subject: Subject) -> str:
    config = Config(subject.kind, INPUTS, HIDDEN)
    for role, arrays in _fresh(subject).items():
        pooled = np.concatenate([array.ravel() for array in arrays])
        if _is_usual(pooled):
            continue
        for words, limit in _limits(config, role).items():
            if _is_spread(pooled, limit):
                return f"{role.value} of fresh layers is uniform in ±{words} instead"
        limit = float(np.abs(pooled).max())
        if pooled.size > MANY and _is_spread(pooled, limit * (1 + 1 / pooled.size)):
            return f"{role.value} of fresh layers is uniform in ±{limit:.3g}"
    return ""


@BEGINNINGS.add("initial values that are normal, not uniform", "PAR-2", fix=FIX)
def _normal(subject: Subject) -> str:
    config = Config(subject.kind, INPUTS, HIDDEN)
    for role, arrays in _fresh(subject).items():
        pooled = np.concatenate([array.ravel() for array in arrays])
        for words, deviation in _deviations(config, role).items():
            if _is_normal(pooled, deviation):
                return f"{role.value} of fresh layers has the standard deviation {words}"
        deviation = float(pooled.std())
        if deviation and _is_normal(pooled, deviation):
            return f"{role.value} of fresh layers has the standard deviation {deviation:.3g}"
    return ""


@BEGINNINGS.add("initial values that are one number", "PAR-2", fix=FIX)
def _constant(subject: Subject) -> str:
    for role, arrays in _fresh(subject).items():
        if all(np.ptp(array) == 0.0 for array in arrays):
            return f"{role.value} of fresh layers is {arrays[0].flat[0]:g} throughout"
    return ""


@BEGINNINGS.add(
    "initial values of another limit in some layer, direction or projection", "PAR-2", fix=FIX
)
def _elsewhere(subject: Subject) -> str:
    """Where the first layer, in one direction and without a projection, begins as it should."""
    if not all(_is_usual(np.stack(arrays)) for arrays in _fresh(subject).values()):
        return ""
    wide = _wide(subject)
    for name, arrays in _parameters(subject, wide).items():
        pooled = np.stack(arrays)
        if not _is_usual(pooled):
            limit = float(np.abs(pooled).max())
            return (
                f"{name} of fresh layers is spread over ±{limit:.3g}, and not over "
                f"±1/sqrt({HIDDEN}) = ±{HIDDEN**-0.5:.3g}"
            )
    return ""


def _wide(subject: Subject) -> Config:
    """Two layers, two directions and a projection, as far as they are declared."""
    declared = subject.implementation.declaration.features & Feature.of(subject.kind)
    return Config(
        subject.kind,
        INPUTS,
        HIDDEN,
        num_layers=2 if Feature.MULTI_LAYER in declared else 1,
        bidirectional=Feature.BIDIRECTIONAL in declared,
        proj_size=PROJECTED if Feature.PROJECTION in declared else 0,
    )
