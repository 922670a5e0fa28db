"""Scaled dot-product attention with every argument."""

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from common import Area, Source


def attend(area, name, q, k, v, mask=None, is_causal=False, scale=None, enable_gqa=False):
    def function(q, k, v, mask=None):
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(
                q, k, v, mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
            )

    area.run(
        name,
        "scaled_dot_product_attention",
        function,
        [q, k, v] if mask is None else [q, k, v, mask],
        is_causal=is_causal,
        scale=float("nan") if scale is None else scale,
        enable_gqa=enable_gqa,
    )


def make(folder):
    area = Area("ops_attention", "scaled_dot_product_attention, by PyTorch's plain formula.")
    for dtype in ("f32", "f64", "f16", "bf16"):
        s = Source(f"attention_{dtype}")
        q, k, v = (s.normal(2, 2, n, e, dtype=dtype) for n, e in ((4, 5), (6, 5), (6, 3)))
        name = f"attention_{dtype}"
        attend(area, name, q, k, v)
        attend(area, f"{name}_causal", q, k, v, is_causal=True)
        attend(area, f"{name}_causal_tall", k, q, s.normal(2, 2, 4, 3, dtype=dtype), is_causal=True)
        attend(area, f"{name}_scale", q, k, v, scale=0.25)
        attend(area, f"{name}_float", q, k, v, s.normal(2, 2, 4, 6, dtype=dtype))
        attend(area, f"{name}_float_one", q, k, v, s.normal(4, 6, dtype=dtype))
        mask = s.uniform(2, 1, 4, 6) < 0.6
        mask[0, 0, 2] = False  # a query that sees nothing
        attend(area, f"{name}_bool", q, k, v, mask)
        attend(area, f"{name}_keys", q, k, v, s.uniform(2, 1, 1, 6) < 0.7)
        hidden = torch.where(mask, 0.5, -torch.inf).to(q.dtype)
        attend(area, f"{name}_infinite", q, k, v, hidden)
    for dtype in ("f32", "f64"):
        s = Source(f"attention_shapes_{dtype}")
        name = f"attention_{dtype}"
        n = lambda *shape: s.normal(*shape, dtype=dtype)
        attend(area, f"{name}_2d", n(4, 5), n(6, 5), n(6, 3))
        attend(area, f"{name}_3d", n(2, 4, 5), n(2, 6, 5), n(2, 6, 3), n(2, 4, 6))
        attend(area, f"{name}_groups", n(2, 6, 4, 5), n(2, 2, 3, 5), n(2, 2, 3, 5), enable_gqa=True)
        attend(
            area,
            f"{name}_groups_mask",
            n(2, 6, 4, 5),
            n(2, 3, 3, 5),
            n(2, 3, 3, 5),
            s.uniform(2, 6, 4, 3) < 0.7,
            enable_gqa=True,
        )
        attend(area, f"{name}_no_batch", n(0, 2, 4, 5), n(0, 2, 3, 5), n(0, 2, 3, 5))
        attend(area, f"{name}_no_query", n(2, 2, 0, 5), n(2, 2, 3, 5), n(2, 2, 3, 5))
    area.write(folder)
