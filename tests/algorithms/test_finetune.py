"""Fine-tuning, the ℓ1 penalty and noise against the steps written out."""

import jax
import jax.numpy as jnp
import numpy as np

from unlearnax.algorithms import do_nothing, fine_tune, gaussian_noise, l1_sparse

SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
KEY = jax.random.key(0)


def test_do_nothing_returns_the_original(tiny):
    state = tiny.state()
    out, info = do_nothing(tiny.model)(KEY, state, tiny.request())
    assert all(a is b for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(state), strict=True))
    assert info.loss == info.examples == 0


def test_fine_tune_is_sgd_on_the_retained_rows(tiny, direct):
    """Batches of all of R, so that their order does not matter."""
    rows = tiny.rows["retain"]
    out, info = fine_tune(tiny.model, **SGD, epochs=3, batch_size=len(rows))(KEY, tiny.state(), tiny.request())

    def objective(params):
        return direct.nll(params, tiny.x[rows], tiny.y[rows]).mean()

    direct.close(out.params, direct.sgd(tiny.state().params, [objective] * 3, **SGD))
    before_last = direct.sgd(tiny.state().params, [objective] * 2, **SGD)
    np.testing.assert_allclose(info.loss, objective(before_last), rtol=1e-4)
    assert out.step == tiny.state().step + 3


def test_the_loss_reported_is_the_mean_over_the_last_epoch(tiny, direct):
    """R is one row 24 times, so that all batches are the same."""
    row = tiny.rows["retain"][:1]
    request = tiny.request(retain=np.repeat(row, 24))
    _, info = fine_tune(tiny.model, **SGD, epochs=2, batch_size=8)(KEY, tiny.state(), request)

    def objective(params):
        return direct.nll(params, tiny.x[row], tiny.y[row]).mean()

    losses = [objective(direct.sgd(tiny.state().params, [objective] * t, **SGD)) for t in range(6)]
    np.testing.assert_allclose(info.loss, np.mean(losses[3:]), rtol=1e-3)


def test_the_l1_penalty_falls_at_every_step(tiny, direct):
    """Two epochs of three equal batches: weights γ(1 − t/6), the last of them γ/6."""
    row, gamma = tiny.rows["retain"][:1], 0.05
    request = tiny.request(retain=np.repeat(row, 24))
    out, _ = l1_sparse(tiny.model, gamma=gamma, **SGD, epochs=2, batch_size=8)(KEY, tiny.state(), request)

    def at(t):
        def objective(params):
            norm = sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(params))
            return direct.nll(params, tiny.x[row], tiny.y[row]).mean() + gamma * (1 - t / 6) * norm

        return objective

    direct.close(out.params, direct.sgd(tiny.state().params, [at(t) for t in range(6)], **SGD))
    assert direct.differ(out.params, direct.sgd(tiny.state().params, [at(0)] * 6, **SGD))


def test_without_a_penalty_l1_sparse_is_fine_tuning(tiny, direct):
    runs = (make(KEY, tiny.state(), tiny.request()) for make in (
        l1_sparse(tiny.model, gamma=0.0, **SGD, epochs=2, batch_size=8),
        fine_tune(tiny.model, **SGD, epochs=2, batch_size=8),
    ))  # fmt: skip
    direct.close(*(out.params for out, _ in runs))


def test_noise_is_standard_normal_times_sigma_in_every_weight(tiny):
    """250 draws of the 67 weights; the same key gives the same draw at every σ."""
    state, request, keys = tiny.state(), tiny.request(), jax.random.split(KEY, 250)

    def noise(sigma):
        out = jax.jit(jax.vmap(lambda key: gaussian_noise(tiny.model, sigma=sigma)(key, state, request)[0].params))(
            keys
        )
        return jax.tree.map(lambda new, old: (np.asarray(new) - old) / sigma, out, state.params)

    one, two = noise(1.0), noise(2.0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, two)
    flat = np.concatenate([leaf.reshape(250, -1) for leaf in jax.tree.leaves(one)], axis=1)
    assert flat.shape == (250, 67)
    np.testing.assert_allclose(flat.mean(0), 0, atol=5 / np.sqrt(250))
    np.testing.assert_allclose(flat.std(0), 1, atol=5 / np.sqrt(2 * 250))
    apart = np.corrcoef(flat.T) - np.eye(67)
    assert np.abs(apart).max() < 5 / np.sqrt(250)  # no two weights share a draw
    np.testing.assert_allclose((flat**4).mean(), 3, atol=0.2)


def test_noise_alone_counts_no_examples_and_no_steps(tiny):
    out, info = gaussian_noise(tiny.model, sigma=0.5)(KEY, tiny.state(), tiny.request())
    assert info.examples == 0
    assert out.step == tiny.state().step


def test_noise_is_fine_tuned_where_epochs_are_asked_for(tiny, direct):
    rows = tiny.rows["retain"]
    noisy, _ = gaussian_noise(tiny.model, sigma=0.3)(KEY, tiny.state(), tiny.request())
    run = gaussian_noise(tiny.model, sigma=0.3, **SGD, epochs=3, batch_size=24)
    out, info = run(KEY, tiny.state(), tiny.request())

    def objective(params):
        return direct.nll(params, tiny.x[rows], tiny.y[rows]).mean()

    direct.close(out.params, direct.sgd(noisy.params, [objective] * 3, **SGD))
    assert info.examples == 72
