"""What every first-order energy must do, whatever it measures."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """An energy with a batch of inputs.

    Attributes:
        energy: function of the inputs, in order.
        inputs: tensors with the batch first.
        free: how many of the inputs, from the first, it is differentiated by.
    """

    energy: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    free: int = 1

    def at(self, *inputs: Tensor) -> "Case":
        """The same with other first inputs."""
        return replace(self, inputs=(*inputs, *self.inputs[len(inputs) :]))

    def to(self, dtype: torch.dtype) -> "Case":
        return replace(self, inputs=tuple(x.to(dtype) for x in self.inputs))

    def run(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Values (B,) and the gradients of their sum."""
        free = [x.detach().clone().requires_grad_() for x in self.inputs[: self.free]]
        values = self.energy(*free, *self.inputs[self.free :])
        return values.detach(), torch.autograd.grad(values.sum(), free)


def check_gradients(case: Case) -> None:
    """By central differences, of two hands; along random directions where inputs are pictures."""
    inputs = tuple(x[:2].clone() for x in case.inputs)
    free = [x.requires_grad_() for x in inputs[: case.free]]
    many = sum(x.numel() for x in free) > 200
    assert torch.autograd.gradcheck(
        lambda *x: case.energy(*x, *inputs[case.free :]), free, fast_mode=many
    )


def check_batch(case: Case) -> None:
    """One value a hand, of the inputs' dtype; a batch of N gives what N of one give."""
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        typed = case.to(dtype)
        values, gradients = typed.run()
        assert values.shape == (len(case.inputs[0]),)
        assert values.dtype == dtype
        for hand in range(len(values)):
            one = replace(typed, inputs=tuple(x[hand : hand + 1] for x in typed.inputs))
            value, gradient = one.run()
            torch.testing.assert_close(value[0], values[hand], rtol=tolerance, atol=tolerance)
            for single, batched in zip(gradient, gradients, strict=True):
                torch.testing.assert_close(
                    single[0], batched[hand], rtol=10 * tolerance, atol=10 * tolerance
                )


def check_nan_stays(case: Case) -> None:
    """A hand whose every input is NaN has the value NaN; its neighbours do not notice."""
    hurt = 1
    values, gradients = case.run()
    spoilt = tuple(x.clone() for x in case.inputs)
    for x in spoilt:
        x[hurt] = torch.nan
    others = [hand for hand in range(len(values)) if hand != hurt]
    for which in range(len(spoilt)):
        inputs = tuple(spoilt[k] if k == which else x for k, x in enumerate(case.inputs))
        new_values, new_gradients = replace(case, inputs=inputs).run()
        assert new_values[hurt].isnan()
        torch.testing.assert_close(new_values[others], values[others], rtol=0, atol=0)
        for new, old in zip(new_gradients, gradients, strict=True):
            torch.testing.assert_close(new[others], old[others], rtol=0, atol=0)


def check_finite(case: Case) -> Tensor:
    """Values and gradients are finite, in both precisions; returns the float64 values."""
    for dtype in (torch.float32, torch.float64):
        values, gradients = case.to(dtype).run()
        assert values.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients)
    return values


def check_no_host_synchronisation(case: Case) -> None:
    """Shapes alone carry it through, so nothing waits for a value on a device."""
    on_meta = replace(case, inputs=tuple(x.to("meta") for x in case.inputs))
    values, gradients = on_meta.run()
    assert values.shape == (len(case.inputs[0]),)
    for gradient, x in zip(gradients, case.inputs, strict=False):
        assert gradient.shape == x.shape
