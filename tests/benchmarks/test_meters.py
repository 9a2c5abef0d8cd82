"""Energy meters and the machine's state, read from files as the kernel lays them out."""

import threading
import time
from pathlib import Path

import pytest
from epee.benchmarks import conditions, energy
from epee.benchmarks.conditions import Watch


def laid(root: Path, files: dict[str, str]) -> Path:
    """Writes files below a folder; gives the folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def rapl(root: Path) -> Path:
    """Two packages of a server, one with a sub-domain that is a part of it, and the platform's own zone."""
    power = "sys/class/powercap/intel-rapl:"
    zones = {"0": ("package-0", 990), "0:0": ("core", 5), "1": ("package-1", 10), "2": ("psys", 7)}
    for n, (name, uj) in zones.items():
        laid(root, {f"{power}{n}/name": f"{name}\n", f"{power}{n}/energy_uj": f"{uj}000000\n",
                    f"{power}{n}/max_energy_range_uj": "1000000000\n"})
    return root


def test_rapl_counts_packages_and_wraps_around(tmp_path: Path) -> None:
    root = rapl(tmp_path)
    meter, note = energy.find("cpu", root)
    assert note == "RAPL: 2 processor packages, idle power included"
    with energy.counting(meter) as joules:
        laid(root, {"sys/class/powercap/intel-rapl:0/energy_uj": "5000000\n",  # 10 J up to the range, 5 J after it
                    "sys/class/powercap/intel-rapl:1/energy_uj": "12000000\n"})
    assert joules() == pytest.approx(15 + 2)


def test_rapl_for_root_alone_says_so(tmp_path: Path) -> None:
    root = rapl(tmp_path)
    counter = root / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.chmod(0)
    try:
        counter.read_text()
    except PermissionError:
        meter, note = energy.find("cpu", root)
        assert meter is None
        assert note.startswith("not measurable here: ")
        assert "energy_uj is for root alone" in note
    else:
        pytest.skip("this user may read everything")


def test_a_jetsons_rail_is_integrated(tmp_path: Path) -> None:
    sensor = "sys/class/hwmon/hwmon3"
    root = laid(tmp_path, {f"{sensor}/name": "ina3221\n", f"{sensor}/in1_label": "VDD_IN\n",
                           f"{sensor}/in1_input": "5000", f"{sensor}/curr1_input": "2000",
                           f"{sensor}/in2_label": "VDD_CPU_GPU_CV\n", f"{sensor}/in2_input": "5000",
                           f"{sensor}/curr2_input": "1000",
                           "sys/class/hwmon/hwmon0/name": "cpu_thermal\n"})
    meter, note = energy.find("cuda", root)
    assert note == "INA3221: the module, idle power included"
    start = time.monotonic()
    with energy.counting(meter) as joules:
        time.sleep(0.1)
    assert 0.9 < joules() < 10 * (time.monotonic() - start) + 0.1  # 5 V x 2 A
    assert not any(thread.name == "energy" for thread in threading.enumerate())


def test_without_a_meter_it_says_why(tmp_path: Path) -> None:
    meter, note = energy.find("cpu", tmp_path)
    assert meter is None
    assert note == "not measurable here: no Jetson sensor; no RAPL (none in a virtual machine or container, and on ARM)"
    with energy.counting(None) as joules:
        pass
    assert joules() != joules()


def test_the_watch_reads_clocks_heat_throttling_and_others(tmp_path: Path) -> None:
    cpu, zone = "sys/devices/system/cpu/cpu", "sys/class/thermal/thermal_zone"
    root = laid(tmp_path, {f"{cpu}0/cpufreq/scaling_cur_freq": "2000000\n",
                           f"{cpu}1/cpufreq/scaling_cur_freq": "3000000\n",
                           f"{cpu}0/thermal_throttle/core_throttle_count": "4\n",
                           f"{zone}0/temp": "51000\n", f"{zone}1/temp": "63500\n",
                           "proc/stat": "cpu 100 0 0 100 0 0 0 0 0 0\n"})
    with Watch(root) as watch:
        laid(root, {f"{cpu}0/thermal_throttle/core_throttle_count": "7\n",
                    "proc/stat": "cpu 130100 0 0 60100 0 0 0 10000 0 0\n"})
    assert watch.found["mhz"] == 2500.0
    assert watch.found["celsius"] == 63.5
    assert watch.found["throttled"] == 3
    assert watch.found["others"] == pytest.approx(0.65, abs=0.002)
    assert watch.found["stolen"] == 0.05


def test_a_machine_that_tells_nothing_leaves_the_rest_unknown(tmp_path: Path) -> None:
    with Watch(tmp_path) as watch:
        pass
    assert {watch.found[name] for name in ("mhz", "celsius", "throttled", "others", "stolen")} == {None}
    assert conditions.mhz(laid(tmp_path, {"proc/cpuinfo": "cpu MHz\t\t: 2600.5\nflags: fpu\n"})) == 2600.5
