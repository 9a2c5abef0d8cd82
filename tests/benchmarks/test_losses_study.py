"""What the study of losses makes of its lines."""

from epee.benchmarks.studies.losses import OURS, THEIRS, chosen, stability, verdict


def trial(batch: int, gamma: float, ours: float, theirs: float) -> list[dict[str, float]]:
    return [{"batch": batch, "gamma": gamma, "rate_first": 1e-3, "rate_last": 1e-4, "kid": kid, "seed": 1000}
            for kid in (ours, theirs)]


def test_each_loss_has_its_best_settings_but_both_have_one_batch() -> None:
    trials = [trial(64, 0.2, 0.040, 0.020), trial(64, 1.0, 0.020, 0.030), trial(32, 0.2, 0.022, 0.010)]
    both = {"batch": 32, "gamma": 0.2, "rate_first": 1e-3, "rate_last": 1e-4}
    assert chosen(trials) == {OURS: both, THEIRS: both}
    best = chosen(trials[:2])
    assert (best[OURS]["gamma"], best[THEIRS]["gamma"]) == (1.0, 0.2)


def test_a_claim_is_made_only_where_the_interval_leaves_zero_out() -> None:
    def said(ours: list[float], theirs: list[float]) -> str:
        return verdict([{"kid": kid, "name": "kid-x"} for kid in ours], [{"kid": kid} for kid in theirs], {})[-1]

    assert said([0.010, 0.011, 0.012], [0.020, 0.021, 0.023]).endswith(f"{OURS} is better")
    assert said([0.020, 0.021, 0.023], [0.010, 0.011, 0.012]).endswith(f"{THEIRS} is better")
    assert said([0.010, 0.030], [0.020, 0.015]).endswith("the interval holds zero")


def test_stability_is_told_run_by_run() -> None:
    row = {"seed": 3, "healthy": True, "rollbacks": 0, "course": [0.3, 0.02, 0.03], "recall": 0.6, "floor_recall": 0.9}
    assert stability([row]) == ["seed 3: healthy, 0 roll-backs, last KID 1.50 times its best, recall 0.600 of 0.900 "
                                "(real against real)"]
