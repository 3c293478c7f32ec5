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


def test_quantised_export_stays_close():
    from needle_rs.train.export import GROUP, tensors

    model, _, _ = parity.read("isolated")
    stored = tensors(model.state_dict(), quantise=True)
    weight, scale = model.embedding.weight, stored["embedding.weight.scale"].float()
    restored = stored["embedding.weight"].float() * scale.repeat_interleave(GROUP, 1)
    # Half a step of rounding, and the scale's own rounding to f16 over up to 127 steps.
    assert ((weight - restored).abs() <= scale.repeat_interleave(GROUP, 1) * (0.5 + 127 * 2**-11)).all()
