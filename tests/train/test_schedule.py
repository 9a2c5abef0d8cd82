import os
import signal
import time

import pytest
from epee.train.schedule import Budget, Clock, Interrupt, Schedule, cosine

STEPS = Schedule(peak=0.1, warmup_steps=10, power=0.9, steps=100)


def test_the_rate_rises_to_the_peak_and_falls_to_nothing():
    rates = [STEPS.learning_rate(step, STEPS.fraction(step, 0.0)) for step in range(101)]
    assert rates[0] == pytest.approx(0.1 * 0.1)
    assert rates.index(max(rates)) == 9
    assert rates[50] == pytest.approx(0.1 * 0.5**0.9)
    assert rates[100] == 0.0


def test_minutes_are_spent_by_time_and_epochs_by_steps():
    minutes = Budget(seconds=60.0)
    assert minutes.fraction(step=7, elapsed_s=15.0) == 0.25
    assert STEPS.fraction(step=25, elapsed_s=1e9) == 0.25


def test_the_time_left_counts_what_this_process_did():
    assert Budget(seconds=60.0).left_s(0.25, 0.1, 3.0) == 45.0
    assert STEPS.left_s(fraction=0.5, here_fraction=0.25, here_s=10.0) == pytest.approx(20.0)


def test_a_cosine_falls_from_first_to_last():
    assert [cosine(4.0, 1.0, f) for f in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([4.0, 2.5, 1.0, 1.0])


def test_a_clock_goes_on_from_the_time_before():
    clock = Clock(before_s=100.0)
    assert 100.0 <= clock.elapsed_s < 105.0
    assert clock.here_s < 5.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_asks_and_a_second_interrupts(number):
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        os.kill(os.getpid(), number)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_processor_time_does_not_pass_while_one_sleeps():
    wall, cpu = Clock(), Clock(2.0, "cpu")
    time.sleep(0.3)
    assert wall.here_s >= 0.3
    assert 2.0 <= cpu.elapsed_s < 2.2
    start = time.process_time()
    while time.process_time() - start < 0.1:
        pass
    assert cpu.here_s >= 0.1
