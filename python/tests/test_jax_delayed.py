"""`tauscope.optax.delayed` beside the same training written out: every version of the weights in a list.

Not here: agreement with the engines (`test_jax_trajectories.py`).
"""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tauscope
from tauscope.optax import DelayedState, delayed, read

jax.config.update("jax_enable_x64", True)

TARGETS = jax.random.normal(jax.random.PRNGKey(0), (40, 3))
RECORDED = [0, 2, 1, 3, 0]
START = {"weight": jnp.arange(3.0), "bias": jnp.ones(())}


def loss(params, step):
    return jnp.sum((jnp.tanh(params["weight"]) + params["bias"] - TARGETS[step]) ** 2)


def written_out(inner, delays, steps):
    state, versions = inner.init(START), [START]
    for step in range(steps):
        gradient = jax.grad(loss)(versions[max(0, step - delays[step % len(delays)])], step)
        updates, state = inner.update(gradient, state, versions[-1])
        versions.append(optax.apply_updates(versions[-1], updates))
    return versions[-1]


def go_on(transform, params, state, first, last):
    for step in range(first, last):
        updates, state = transform.update(jax.grad(loss)(read(state, params), step), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def same(one, other):
    leaves = list(zip(jax.tree_util.tree_leaves(one), jax.tree_util.tree_leaves(other)))
    assert leaves
    return all(np.array_equal(a, b) for a, b in leaves)


@pytest.mark.parametrize("inner", [optax.sgd(0.05, momentum=0.9), optax.adamw(0.01), optax.rmsprop(0.01)], ids=["sgd", "adamw", "rmsprop"])
@pytest.mark.parametrize("delays", [[0], [1], [4], RECORDED])
def test_late_gradients_are_applied_to_the_newest_weights(inner, delays) -> None:
    transform = delayed(inner, trace=delays) if len(delays) > 1 else delayed(inner, delays[0])
    params, _ = go_on(transform, START, transform.init(START), 0, 40)
    assert same(params, written_out(inner, delays, 40))


def test_what_comes_after_it_in_a_chain_and_what_the_training_does_to_the_weights_is_in_the_versions() -> None:
    """The ring keeps what the training made of the weights, not what this transformation proposed."""
    chained = optax.chain(delayed(optax.sgd(0.05), 2), optax.scale(0.5))
    params, _ = go_on(chained, START, chained.init(START), 0, 40)
    assert same(params, written_out(optax.chain(optax.sgd(0.05), optax.scale(0.5)), [2], 40))


@pytest.mark.parametrize("schedule", ["round-robin", "random", "workers:exponential"])
def test_compiled_steps_and_a_scan_draw_the_slots_of_the_process(schedule: str) -> None:
    transform, process = delayed(optax.sgd(0.05), 3, schedule=schedule, seed=4), tauscope.DelayProcess(schedule, 3, seed=4)

    def step(carry, index):
        params, state = carry
        updates, after = transform.update(jax.grad(loss)(read(state, params), index), state, params)
        return (optax.apply_updates(params, updates), after), (state.read, state.write, state.delay)

    first = (START, transform.init(START))
    (params, _), slots = jax.jit(lambda carry: jax.lax.scan(step, carry, jnp.arange(40)))(first)
    for drawn, expected in zip(slots, process.take(40)):
        assert np.array_equal(drawn, expected)
    plain, _ = go_on(transform, START, transform.init(START), 0, 40)
    np.testing.assert_allclose(params["weight"], plain["weight"], rtol=1e-12)


def test_a_training_that_is_saved_in_the_middle_of_a_ring_goes_on_with_the_same_bits() -> None:
    """Also in another process: the state is arrays alone, and slots are found from the step's number."""
    make = lambda: delayed(optax.adam(0.01), 4, schedule="random", seed=2)  # noqa: E731
    transform = make()
    whole, _ = go_on(transform, START, transform.init(START), 0, 40)
    half = go_on(transform, START, transform.init(START), 0, 17)
    params, state = jax.tree_util.tree_map(jnp.asarray, pickle.loads(pickle.dumps(jax.tree_util.tree_map(np.asarray, half))))
    resumed, _ = go_on(make(), params, state, 17, 40)
    assert same(resumed, whole)


def test_the_ring_has_a_version_for_each_slot() -> None:
    state = delayed(optax.sgd(0.1), 4).init(START)
    assert isinstance(state, DelayedState)
    assert [leaf.shape for leaf in jax.tree_util.tree_leaves(state.ring)] == [(5,), (5, 3)]


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda: delayed(optax.sgd(0.1)), ValueError, "no delays; accepted: one of delay=, schedule= and trace="),
        (lambda: delayed(optax.sgd(0.1), -1), ValueError, "delay -1"),
        (lambda: delayed(optax.sgd(0.1), 1.5), TypeError, "delay 1.5; accepted: a whole number"),
        (lambda: delayed("sgd", 1), TypeError, "inner: str; accepted: a transformation of optax"),
        (lambda: delayed(optax.sgd(0.1), 1, trace=[1]), ValueError, "one of them"),
        (lambda: delayed(optax.sgd(0.1), 1, schedule=tauscope.DelayProcess("random", 2)), ValueError, "one of them"),
        (lambda: delayed(optax.sgd(0.1), 1).init({}), ValueError, "params: no weights"),
        (lambda: delayed(optax.sgd(0.1), trace=[1, -1]), ValueError, "trace: delay -1 at place 1; accepted"),
        (lambda: delayed(optax.sgd(0.1), 999_999).init(jnp.zeros(10**6)), MemoryError, r"of 1000000 slots takes [48] TB on .* accepted: up to"),
        (lambda: read(optax.sgd(0.1).init(START), START), ValueError, r"state: 0 of delayed\(\) in it"),
    ],
)
def test_what_cannot_be_delayed_is_named(call, kind, told) -> None:
    with pytest.raises(kind, match=told) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_an_update_without_the_newest_weights_is_refused() -> None:
    transform = delayed(optax.sgd(0.1), 1)
    with pytest.raises(ValueError, match="params: None; accepted: the newest weights"):
        transform.update(START, transform.init(START))


def test_a_state_can_be_donated_and_that_of_another_ring_is_refused():
    params = {"w": jnp.arange(3.0)}
    optimizer = delayed(optax.sgd(0.1), 2)

    def step(params, state):
        updates, state = optimizer.update(read(state, params), state, params)
        return optax.apply_updates(params, updates), state

    donating = jax.jit(step, donate_argnums=(1,))
    state = optimizer.init(params)
    for _ in range(5):
        params, state = donating(params, state)
    with pytest.raises(ValueError, match="of 3 slots; accepted: of 5"):
        delayed(optax.sgd(0.1), 4).update(params, state, params)


def test_what_is_masked_from_delayed_is_read_at_the_newest_weights():
    params = {"w": jnp.arange(3.0), "b": jnp.ones(2)}
    optimizer = optax.masked(delayed(optax.sgd(0.1), 2), {"w": True, "b": False})
    state = optimizer.init(params)
    for _ in range(4):
        late = read(state, params)
        assert late["b"] is params["b"] or bool((late["b"] == params["b"]).all())
        updates, state = optimizer.update(late, state, params)
        params = optax.apply_updates(params, updates)
    assert not bool((read(state, params)["w"] == params["w"]).all())


def test_weights_of_another_tree_or_shape_are_refused_in_one_sentence():
    params = {"w": jnp.arange(3.0), "b": jnp.ones(2)}
    optimizer = delayed(optax.sgd(0.1), 2)
    state = optimizer.init(params)
    for wrong, part in [
        ({"w": jnp.ones((1, 3)), "b": jnp.ones(2)}, r"shape \(1, 3\); accepted: \(3,\)"),
        ({"w": jnp.arange(3.0)}, "another tree"),
        (None, "another tree"),
    ]:
        with pytest.raises(ValueError, match=part) as refused:
            read(state, wrong)
        assert "\n" not in str(refused.value)
    with pytest.raises(TypeError, match="accepted: the state of delayed"):
        optimizer.update(params, params, params)
    with pytest.raises(ValueError, match="seed -1; accepted"):
        delayed(optax.sgd(0.1), 2, seed=-1)
