"""`sharpness` of JAX losses beside dense Hessians, in f64, and `judge` on what it found."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from safetensors.numpy import load_file

from tauscope.optax import SecondMoments, delayed, read, second_moments
from tauscope.probe import judge, save_weights, sharpness

jax.config.update("jax_enable_x64", True)

CLOSE = 1e-6

KEYS = jax.random.split(jax.random.PRNGKey(3), 4)
INPUTS, LABELS = jax.random.normal(KEYS[0], (40, 5)), jax.random.randint(KEYS[1], (40,), 0, 3)
PARAMS = {
    "first": {"weight": 0.4 * jax.random.normal(KEYS[2], (5, 7)), "bias": jnp.zeros(7)},
    "last": {"weight": jax.random.normal(KEYS[3], (7, 3)), "bias": jnp.zeros(3)},
}
BATCHES = [np.arange(0, 20), np.arange(20, 40)]


def loss(params, batch=slice(None)):
    hidden = jnp.tanh(INPUTS[batch] @ params["first"]["weight"] + params["first"]["bias"])
    outputs = hidden @ params["last"]["weight"] + params["last"]["bias"]
    return optax.softmax_cross_entropy_with_integer_labels(outputs, LABELS[batch]).mean()


def dense(params, batch=slice(None)):
    flat, as_tree = ravel_pytree(params)
    return np.asarray(jax.hessian(lambda weights: loss(as_tree(weights), batch))(flat))


def in_a_row(vector):
    """A vector by name in the order of the dense Hessian."""
    return np.concatenate([np.ravel(vector[name]) for name in vector])


def test_eigenvalues_vectors_and_shares_are_those_of_the_dense_hessian() -> None:
    found = sharpness(loss, PARAMS, k=3, tolerance=1e-7)
    values, vectors = np.linalg.eigh(dense(PARAMS))
    np.testing.assert_allclose(found.values, values[::-1][:3], rtol=CLOSE)
    assert found.converged and found.variance is None and found.preconditioner is None
    assert list(found.vector) == ["first.bias", "first.weight", "last.bias", "last.weight"]
    assert found.vector["first.weight"].shape == (5, 7)
    assert abs(in_a_row(found.vector) @ vectors[:, -1]) == pytest.approx(1, abs=CLOSE)
    first = float((vectors[:42, -1] ** 2).sum())
    assert found.share == pytest.approx({"first": first, "last": 1 - first}, abs=CLOSE)


def test_batches_give_the_mean_hessian_and_the_variance_of_the_curvature() -> None:
    found = sharpness(loss, PARAMS, batches=BATCHES, tolerance=1e-7)
    listed = sharpness([lambda params, batch=batch: loss(params, batch) for batch in BATCHES], PARAMS, tolerance=1e-7)
    matrices = [dense(PARAMS, batch) for batch in BATCHES]
    values, vectors = np.linalg.eigh(sum(matrices) / 2)
    curvatures = [vectors[:, -1] @ matrix @ vectors[:, -1] for matrix in matrices]
    for probe in (found, listed):
        assert probe.value == pytest.approx(values[-1], rel=CLOSE) and probe.batches == 2
        assert probe.variance == pytest.approx(np.var(curvatures, ddof=1), rel=CLOSE)


def test_a_preconditioner_is_the_scale_of_a_live_adam_also_inside_others() -> None:
    transform = optax.chain(optax.clip_by_global_norm(1.0), delayed(optax.adam(0.01, b2=0.9, eps=1e-4), 2))
    params, state = PARAMS, transform.init(PARAMS)
    for _ in range(5):
        updates, state = transform.update(jax.grad(loss)(read(state, params)), state, params)
        params = optax.apply_updates(params, updates)
    found = sharpness(loss, params, preconditioner=second_moments(state, b2=0.9, eps=1e-4), tolerance=1e-7)
    [adam] = [leaf for leaf in state[1].inner if isinstance(leaf, optax.ScaleByAdamState)]
    scale = np.sqrt(np.asarray(ravel_pytree(adam.nu)[0]) / (1 - 0.9**5)) + 1e-4
    expected = np.linalg.eigvals(dense(params) / scale[:, None]).real.max()
    assert found.value == pytest.approx(expected, rel=CLOSE) and found.preconditioner == "Adam"
    vector = in_a_row(found.vector)
    assert vector @ (scale * vector) == pytest.approx(1, rel=CLOSE)
    assert judge(found, "adam", 0.01, 0.9, 2).threshold_gain > 0


@pytest.mark.parametrize("weights", [jnp.ones(3), (jnp.ones(2), [jnp.ones(())]), jnp.ones((), jnp.float32)])
def test_any_tree_of_arrays_is_probed(weights) -> None:
    def quadratic(tree):
        return sum(jnp.sum(jnp.arange(1.0, leaf.size + 1) * leaf.ravel() ** 2) for leaf in jax.tree_util.tree_leaves(tree)) / 2

    largest = max(leaf.size for leaf in jax.tree_util.tree_leaves(weights))
    assert sharpness(quadratic, weights).value == pytest.approx(largest, rel=1e-5)


def test_a_verdict_is_that_of_the_training_itself() -> None:
    curvatures = jnp.array([3.0, 0.5, 1.5])

    def bowl(weights):
        return jnp.sum(curvatures * weights**2) / 2

    probe = sharpness(bowl, jnp.zeros(3))
    threshold = judge(probe, "heavy-ball", 1.0, 0.9, 4).lr_threshold
    for factor in (0.95, 1.05):
        transform = delayed(optax.sgd(factor * threshold, momentum=0.9), 4)

        @jax.jit
        def step(carry, _, transform=transform):
            weights, state = carry
            updates, state = transform.update(jax.grad(bowl)(read(state, weights)), state, weights)
            weights = optax.apply_updates(weights, updates)
            return (weights, state), jnp.abs(weights).max()

        _, sizes = jax.lax.scan(step, (jnp.ones(3), transform.init(jnp.ones(3))), None, 1000)
        verdict = judge(probe, "heavy-ball", factor * threshold, 0.9, 4)
        assert verdict.stable == (factor < 1) == bool(sizes[-100:].max() < sizes[500:600].max())


@jax.custom_vjp
def cubed(x):
    return x**3


@jax.custom_vjp
def tripled_square(x):
    return 3 * x**2


@jax.custom_vjp
def stopped(x):
    return x**3


tripled_square.defvjp(lambda x: (3 * x**2, x), lambda x, g: (6 * x * g,))
# A backward that is a function with a derivative of its own has no forward mode.
cubed.defvjp(lambda x: (x**3, x), lambda x, g: (tripled_square(x) * g,))
stopped.defvjp(lambda x: (x**3, x), lambda x, g: (jax.lax.stop_gradient(3 * x**2) * g,))


def scanned(function):
    return lambda w: jax.lax.scan(lambda total, x: (total + function(x).sum(), None), 0.0, w[:, None])[0]


@pytest.mark.parametrize("wrapped", [lambda f: lambda w: f(w).sum(), scanned, lambda f: jax.jit(lambda w: f(w).sum())])
def test_functions_with_derivatives_of_their_own_have_their_hessian_or_an_error(wrapped) -> None:
    """Oracle: the Hessian of the sum of x^3 is 6 x on the diagonal."""
    weights = jnp.array([1.0, 3.0, 2.0])
    with pytest.raises(TypeError, match="custom_vjp"):  # What this is about: jvp of grad is refused by JAX itself.
        jax.jvp(jax.grad(wrapped(cubed)), (weights,), (weights,))
    found = sharpness(wrapped(cubed), weights, k=3)
    assert found.values == pytest.approx([18.0, 12.0, 6.0])
    assert sharpness(lambda w, scale: scale * wrapped(cubed)(w), weights, batches=[0.5, 1.5]).variance == pytest.approx(162.0)
    with pytest.raises(NotImplementedError, match="wrong by 100% .*jax.custom_vjp is not differentiable; accepted: ") as refused:
        sharpness(wrapped(stopped), weights)
    assert "\n" not in str(refused.value)


def test_weights_of_jax_are_saved_as_pytorch_has_them(tmp_path) -> None:
    params = {"hidden": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}, "conv": {"kernel": jnp.arange(120.0).reshape(2, 3, 4, 5)}}
    save_weights(tmp_path / "w.safetensors", params)
    found = load_file(tmp_path / "w.safetensors")
    assert set(found) == {"hidden.weight", "hidden.bias", "conv.weight"}
    assert np.array_equal(found["hidden.weight"], params["hidden"]["kernel"].T)
    assert found["conv.weight"].shape == (5, 4, 2, 3) and found["conv.weight"][4, 3, 1, 2] == params["conv"]["kernel"][1, 2, 3, 4]
    save_weights(tmp_path / "w.safetensors", params, layout="torch")
    assert load_file(tmp_path / "w.safetensors")["hidden.kernel"].shape == (2, 3)


def looped(params):
    return jax.lax.while_loop(lambda pair: pair[0] < 2, lambda pair: (pair[0] + 1, 2 * pair[1]), (0, loss(params)))[1]


def called_back(params):
    return jax.pure_callback(lambda value: value, jax.ShapeDtypeStruct((), jnp.float64), loss(params))


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda: sharpness(looped, PARAMS), NotImplementedError, "while_loop.*accepted: the same operation"),
        (lambda: sharpness(called_back, PARAMS), NotImplementedError, "callbacks.*accepted: the same operation"),
        (lambda: sharpness(lambda p: p["first"]["bias"], PARAMS), ValueError, r"loss of shape \(7,\); accepted: one number"),
        (lambda: sharpness(lambda p: jnp.nan * loss(p), PARAMS), ValueError, "loss nan; accepted: a finite number"),
        (lambda: sharpness(lambda p: "0", PARAMS), TypeError, "loss: str; accepted: a function that returns one number"),
        (lambda: sharpness(lambda p: loss(p) * float(loss(p)), PARAMS), TypeError, "accepted: one that jax.grad takes"),
        (lambda: sharpness(loss, {**PARAMS, "n": 3}), TypeError, "weights n: int; accepted: arrays of real numbers"),
        (lambda: sharpness(loss, {**PARAMS, "n": jnp.arange(3)}), TypeError, "weights n: int64; accepted"),
        (lambda: sharpness(loss, PARAMS, k=100), ValueError, "k 100 of a Hessian of 66 parameters"),
        (lambda: sharpness(loss, PARAMS, batches=[]), ValueError, "batches: none; accepted: at least one"),
        (lambda: sharpness(3, PARAMS), TypeError, "loss: int; accepted: a function of the weights"),
        (lambda: sharpness(loss, PARAMS, preconditioner=optax.adam(0.1)), TypeError, "accepted: tauscope.optax.second_moments"),
        (lambda: sharpness(loss, PARAMS, preconditioner=SecondMoments("Adam", jnp.ones(2))), ValueError, "of other weights"),
        (lambda: second_moments(optax.sgd(0.1).init(PARAMS)), ValueError, "state: 0 of Adam in it"),
        (lambda: second_moments(optax.adam(0.1).init(PARAMS)), ValueError, "before its first update"),
        (lambda: second_moments(optax.adam(0.1).init(PARAMS), b2=1.0), ValueError, "b2 1.0; accepted: a number from 0 on and below 1"),
        (lambda: sharpness(loss, {"weights": [1.0, 2.0]}), TypeError, "model_or_params: dict; accepted: a model of PyTorch"),
    ],
)
def test_what_cannot_be_probed_is_named(call, kind, told) -> None:
    with pytest.raises(kind, match=told) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_a_loss_that_does_not_use_its_argument_is_refused() -> None:
    params = {"w": jnp.arange(3.0)}
    for loss in (lambda p: (params["w"] ** 2).sum(), lambda p: jnp.float32(1.0)):
        with pytest.raises(ValueError, match="does not depend on the weights"):
            sharpness(loss, params)


def test_without_curvature_the_relative_variance_is_no_error() -> None:
    found = sharpness(lambda p, b: (p["w"] * b).sum(), {"w": jnp.arange(3.0)}, batches=[1.0, 2.0])
    assert math.isnan(found.relative_variance or 0.0) and "nan" in repr(found)
