"""The trainer's network against the golden files that the engine is tested with."""

import pytest
import torch

import parity


@pytest.mark.parametrize("layout", parity.CONFIGS)
def test_outputs_are_those_of_the_golden_file(layout):
    model, inputs, expected = parity.read(layout)
    found = parity.outputs(model, inputs)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=2e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("bits", [8, 4])
def test_quantised_weights_stay_close(bits):
    from needle_rs.train.quantise import GROUP, LIMITS, dequantise, quantise

    model, _, _ = parity.read("isolated")
    weight = model.embedding.weight.detach()
    integers, scale = quantise(weight, bits)
    # Half a step of rounding, and the scale's own rounding to f16 over up to as many steps as there are.
    tolerance = scale.float().repeat_interleave(GROUP, 1) * (0.5 + LIMITS[bits] * 2**-11)
    assert ((weight - dequantise(integers, scale)).abs() <= tolerance).all()
    again, _ = quantise(dequantise(integers, scale), bits)
    assert torch.equal(again, integers)
