"""Ways through latents: the formula, closed walks, and what a seed alone decides."""

from itertools import pairwise

import numpy as np
import pytest
from epee.runtime.walks import Arc, Seeds, Walk, draw

Z = 16


def pair(seed=0, rows=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((2, rows, Z), np.float32)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_between_two_latents_it_is_shoemakes_formula(share):
    a, b = pair()
    for u, v, z in zip(a.astype(float), b.astype(float), Arc(a, b).at(share), strict=True):
        lengths = np.linalg.norm(u), np.linalg.norm(v)
        angle = np.arccos(u @ v / lengths[0] / lengths[1])
        on_sphere = (np.sin((1 - share) * angle) * u / lengths[0]
                     + np.sin(share * angle) * v / lengths[1]) / np.sin(angle)
        np.testing.assert_allclose(z, ((1 - share) * lengths[0] + share * lengths[1]) * on_sphere, rtol=1e-5, atol=1e-6)


def test_an_arc_begins_and_ends_in_its_latents_and_keeps_their_length():
    a, b = pair()
    arc = Arc(a, b)
    np.testing.assert_array_equal(arc.at(0), a)
    np.testing.assert_allclose(arc.at(1), b, atol=1e-6)
    between = np.linalg.norm(arc.at(0.5), axis=1)
    np.testing.assert_allclose(between, (np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1)) / 2, rtol=1e-5)
    assert (np.linalg.norm((a + b) / 2, axis=1) < between).all()  # where a straight line would lead through


def test_an_arc_advances_evenly_by_its_angle():
    a, b = pair(rows=1)
    points = [Arc(a, b).at(share)[0] for share in np.linspace(0, 1, 6)]
    angles = [np.arccos(p @ q / np.linalg.norm(p) / np.linalg.norm(q)) for p, q in pairwise(points)]
    np.testing.assert_allclose(angles, np.mean(angles), rtol=1e-3)


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_parallel_latents_are_mixed_evenly(factor):
    a, _ = pair()
    z = Arc(a, np.float32(factor) * a).at(0.25)
    assert np.isfinite(z).all()
    length = 0.75 + 0.25 * abs(factor)
    np.testing.assert_allclose(z, a * length * (1 if factor > 0 else 0.5), rtol=1e-5)


def test_a_walk_passes_its_keyframes():
    walk = Walk(7, Z, 2, leg=5, sweep=True)
    for key in range(4):
        np.testing.assert_array_equal(walk.latents(5 * key), [draw(7, key, 0, Z), draw(7, key, 1, Z)])
    assert [walk.turns(i).tolist() for i in (0, 4, 5)] == [[0, 1], [0, 1], [1, 2]]
    assert Walk(7, Z, 2, leg=5).turns(5).tolist() == [0, 1]


@pytest.mark.parametrize(("frames", "leg", "legs"), [(40, 10, 4), (41, 10, 4), (12, 30, 3), (100, 7, 14)])
def test_a_loop_closes_without_a_seam(frames, leg, legs):
    walk = Walk(3, Z, 1, leg, frames, sweep=True)
    rows = np.concatenate([walk.latents(i) for i in range(frames)])
    np.testing.assert_array_equal(walk.latents(frames)[0], rows[0])
    np.testing.assert_array_equal(walk.latents(frames + 1)[0], rows[1])
    steps = np.linalg.norm(np.diff(rows, axis=0, append=rows[:1]), axis=1)
    assert steps[-1] <= 1.001 * np.pi / 2 * steps[:-1].max()
    assert len({int(walk.turns(i)[0]) for i in range(frames)}) == legs


def test_a_latent_depends_on_seed_and_number_alone():
    alone = [Seeds(5, Z, 1).latents(i)[0] for i in range(6)]
    np.testing.assert_array_equal(np.concatenate([Seeds(5, Z, 3).latents(i) for i in range(2)]), alone)
    np.testing.assert_array_equal(Walk(5, Z, 4, 10).latents(3)[0], Walk(5, Z, 1, 10).latents(3)[0])
    assert not np.array_equal(alone[0], Seeds(6, Z, 1).latents(0)[0])
    assert len({z.tobytes() for z in alone}) == 6
    assert [Seeds(5, Z, 3).turns(i).tolist() for i in range(2)] == [[0, 1, 2], [3, 4, 5]]


def test_draws_are_standard_normal():
    values = np.concatenate([draw(0, i, 0, 64) for i in range(200)])
    assert values.dtype == np.float32
    assert abs(values.mean()) < 0.03
    assert abs(values.std() - 1) < 0.03
