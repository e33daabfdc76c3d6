"""What two hands of a picture say of each other: contact, who is nearer, and how alike they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fitter.config.interaction import InteractionConfig
from fitter.contact import biweight
from fitter.energies.residuals import charbonnier, geman_mcclure
from fitter.hand_models.tangent import TangentLayout
from fitter.hand_models.vertex_jacobian import SurfaceJacobian
from fitter.interaction.contact_points import ContactPoints
from fitter.interaction.coupling import CoupledRows, to_other
from fitter.interaction.occlusion import SeenPoints

_ALIKE_SCALE = 3.0
"""Difference of a shape coefficient, in their standard deviation among hands, beyond which two
hands are taken for those of two people. # not published"""


@dataclass(frozen=True)
class PosedPairs:
    """P pairs of posed hands.

    Attributes:
        first, second: each in its own frame.
        differ: (P,) bool, their sides do.
    """

    first: SurfaceJacobian
    second: SurfaceJacobian
    differ: Tensor


def contact_rows(
    pairs: PosedPairs, contact: ContactPoints, config: InteractionConfig
) -> CoupledRows:
    """Penetration and attraction: vertices of the first hand against the second's surface.

    With g the signed gap and a the vertex's share of the surface, a vertex inside costs
    ``w_p a rho(g^2 / s^2)``, rho that of Charbonnier et al., 1994, and one within the reach r
    ``-w_a a (1 - (max(g, 0) / r)^2)^3``, see `fitter.contact.biweight`. The normal
    is the derivative of the gap by the vertex, and its negative that by the point of the surface.
    """
    value, weight = contact_weights(contact, config)
    normal = contact.normal
    by_first = pairs.first.rows(
        contact.vertex[..., None], to_other(pairs.differ, normal)[:, :, None]
    )
    by_second = pairs.second.rows(
        contact.corners, -contact.barycentrics[..., None] * normal[:, :, None]
    )
    gap = contact.gap
    return CoupledRows(value, gap, weight, by_first.to(gap), by_second.to(gap))


def contact_weights(contact: ContactPoints, config: InteractionConfig) -> tuple[Tensor, Tensor]:
    """(P,) the energy of gaps, see `contact_rows`, and (P, N) their weights as residuals."""
    gap = contact.gap
    inside = contact.share * (gap < 0)
    deep = (gap / config.penetration_scale).square()
    rho, slope = charbonnier(deep)
    value = config.penetration_weight * inside * rho
    weight = 2 * config.penetration_weight * inside * slope / config.penetration_scale**2
    # Of height 1 and not of curvature 1 at the surface.
    drawn, slope = biweight(gap, config.attraction_reach)
    height = config.attraction_weight * contact.share * 6 / config.attraction_reach**2
    return (value + height * drawn).sum(1), weight + 2 * height * slope


def order_rows(pairs: PosedPairs, points: SeenPoints, config: InteractionConfig) -> CoupledRows:
    """Ordinal depth: what is nearer in the picture is to be nearer.

    Of two surfaces in the wrong order by d metres ``w a rho(d^2 / s^2)``, a the pixel's share of
    those that say something, rho that of Geman and McClure, 1987, since masks may err; 0 in the
    right order. The idea is that of Jiang et al., "Coherent reconstruction of multiple humans from
    a single image", 2020, eq. 6, of attached points and with another loss.
    """
    sign = torch.where(points.near_first, 1.0, -1.0).double()
    wrong = sign * _behind(pairs, points)
    counts = points.weight * (wrong > 0)
    rho, slope = geman_mcclure((wrong / config.ordinal_scale).square())
    weight = 2 * config.ordinal_weight * counts * slope / config.ordinal_scale**2
    value = (config.ordinal_weight * counts * rho).sum(1)
    return CoupledRows(value, wrong, weight, *_by_depth(pairs, points, sign))


def closeness_rows(pairs: PosedPairs, points: SeenPoints, config: InteractionConfig) -> CoupledRows:
    """Hands that touch in the picture are likely near each other: ``w a rho(d^2 / s^2)``, d the
    metres by which both surfaces are farther apart in depth than a hand is thick, a the pixel's
    share, rho that of Geman and McClure, 1987: hands far apart stay so.
    """
    behind = _behind(pairs, points)
    excess = (behind.abs() - config.closeness_free).clamp_min(0) * behind.sign()
    rho, slope = geman_mcclure((excess / config.closeness_scale).square())
    weight = 2 * config.closeness_weight * points.weight * slope / config.closeness_scale**2
    value = (config.closeness_weight * points.weight * rho).sum(1)
    return CoupledRows(value, excess, weight * (excess != 0), *_by_depth(pairs, points))


def _behind(pairs: PosedPairs, points: SeenPoints) -> Tensor:
    """(P, K) float64 metres by which the first hand's points are farther away than the second's."""
    first = _depth(pairs.first.vertices, points.first, points.first_share)
    return first - _depth(pairs.second.vertices, points.second, points.second_share)


def _by_depth(
    pairs: PosedPairs, points: SeenPoints, sign: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(P, K, D) float64 derivatives of `_behind`, times `sign` (P, K), by both tangent vectors."""
    toward = pairs.first.vertices.new_tensor([0.0, 0.0, 1.0]).expand(*points.weight.shape, 1, 3)
    toward = toward if sign is None else toward * sign.to(toward)[..., None, None]
    first = pairs.first.rows(points.first, points.first_share[..., None] * toward)
    second = pairs.second.rows(points.second, -points.second_share[..., None] * toward)
    return first.double(), second.double()


def alike_rows(betas: tuple[Tensor, Tensor], weight: Tensor, layout: TangentLayout) -> CoupledRows:
    """Hands of one person are alike, which counts where shapes are free, as in how sure a relative
    place is: ``w sum rho(difference^2 / c^2) c^2`` of the coefficients of
    the shape, which are the same for both sides since a left hand is a mirrored right one; rho that
    of Geman and McClure, 1987, so that a child's hand in its mother's is left a child's.

    Args:
        betas: (P, S) of the first hands and the second.
        weight: (P,) 0 for two hands that need not be one person's.
        layout: of the tangent vector.
    """
    difference = betas[0] - betas[1]
    count = difference.shape[1]
    rho, slope = geman_mcclure(difference.square().mean(1, keepdim=True) / _ALIKE_SCALE**2)
    value = weight * count * _ALIKE_SCALE**2 * rho[:, 0]
    by = difference.new_zeros(*difference.shape, layout.size)
    by[..., layout.betas] = torch.eye(count, dtype=by.dtype, device=by.device)
    pulled = (2 * weight[:, None] * slope).expand_as(difference)
    return CoupledRows(value, difference, pulled, by, -by)


def without_shape(rows: CoupledRows, known: tuple[Tensor, Tensor], part: slice) -> CoupledRows:
    """The same for hands, (P,) bool of the firsts and the seconds, whose shapes cannot change."""
    kept = []
    for by, held in zip((rows.by_first, rows.by_second), known, strict=True):
        by = by.clone()
        by[..., part] = torch.where(held[:, None, None], 0.0, by[..., part])
        kept.append(by)
    return rows._replace(by_first=kept[0], by_second=kept[1])


def _depth(vertices: Tensor, corners: Tensor, share: Tensor) -> Tensor:
    """(P, K) float64 metres, of points in faces."""
    flat = vertices[..., 2].gather(1, corners.flatten(1)).view_as(share)
    return (share.double() * flat.double()).sum(-1)
