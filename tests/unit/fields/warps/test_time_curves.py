"""Time curves: ends, order, numbers, and what is none."""

import math

import pytest

from facemorph.errors import ConfigError
from facemorph.fields.warps.time_curves import CURVES, curve_value


@pytest.mark.parametrize("name", CURVES)
def test_curves_go_from_0_to_1_without_turning_back(name):
    values = [curve_value(name, index / 40) for index in range(41)]
    assert values[0] == 0
    assert values[-1] == 1
    assert values == sorted(values)


def test_values():
    assert curve_value(None, 0.3) == 0.3
    assert curve_value("linear", 0.3) == 0.3
    assert curve_value(0.7, 0.3) == curve_value("0.7", 0.9) == 0.7
    assert curve_value("early", 0.5) == 1
    assert curve_value("late", 0.5) == 0
    assert curve_value("hold", 0.2) == 0
    assert curve_value("hold", 0.8) == 1
    assert curve_value("ease", 0.25) == pytest.approx(3 / 16 - 2 / 64)


@pytest.mark.parametrize("curve", ["slow", "", -0.1, 1.1, math.nan, "inf"])
def test_no_curves(curve):
    with pytest.raises(ConfigError, match="no such time curve") as raised:
        curve_value(curve, 0.5, "shape_time")
    assert raised.value.where == "shape_time"
