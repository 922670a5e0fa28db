"""Modules of sequences: attention, transformers, recurrent networks, with all their inputs and outputs."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from common import Area, DTYPES, Source


def run(area, name, module, inputs, call=None, dtype="f32", **attributes):
    """Record module(*inputs), an input may be None; and the gradients of a weighted sum of all
    floating outputs."""
    source = Source(name)
    module = module.to(DTYPES[dtype])
    case = area.case(name, type(module).__name__, dtype, **attributes)
    with torch.no_grad():
        for key, p in module.named_parameters():
            p.copy_(source.normal(*p.shape, dtype="f64", std=0.4))
            case.put(f"param.{key}", p)
    args = []
    for i, x in enumerate(inputs):
        if x is None:
            args.append(None)
            continue
        x = x.to(DTYPES[dtype]) if x.is_floating_point() else x
        case.put(f"in{i}", x)
        args.append(x.clone().requires_grad_(x.is_floating_point()))
    outs = (call or (lambda *a: module(*a)))(*args)
    outs = [y for y in (outs if isinstance(outs, tuple) else (outs,)) if y is not None]
    grads = []
    for i, y in enumerate(outs):
        case.put(f"out{i}", y)
        grads.append(source.normal(*y.shape, dtype=dtype))
        case.put(f"grad_out{i}", grads[-1])
    torch.autograd.backward(outs, grads)
    for i, x in enumerate(args):
        if x is not None and x.grad is not None:
            case.put(f"grad_in{i}", x.grad)
    for key, p in module.named_parameters():
        if p.grad is not None:
            case.put(f"grad.{key}", p.grad)
    return case


def causal(size):
    return torch.ones(size, size, dtype=torch.bool).triu(1)


def padding(n, s, dtype=torch.bool):
    mask = torch.zeros(n, s, dtype=torch.bool)
    mask[0, s - 2 :] = True
    mask[1, s - 1 :] = True
    return mask if dtype == torch.bool else torch.where(mask, -1.5, 0.25)


def attention_case(area, name, embed, heads, q, k, v, pad=None, mask=None, weights=True, **options):
    dtype = options.pop("dtype", "f64")
    average = options.pop("average", True)
    module = nn.MultiheadAttention(embed, heads, **options)
    call = lambda q, k, v, pad, mask: module(
        q, q if k is None else k, k if v is None and k is not None else q if v is None else v, pad,
        weights, mask, average
    )
    run(
        area,
        name,
        module,
        [q, k, v, pad, mask],
        call,
        dtype,
        embed_dim=embed,
        num_heads=heads,
        average=average,
        **options,
    )


def attentions(area):
    s = Source("attentions")
    x, y, z = s.normal(3, 2, 4), s.normal(4, 2, 4), s.normal(4, 2, 4)
    add = lambda name, *a, **k: attention_case(area, f"mha_{name}", *a, **k)
    for weights in (True, False):
        w = "weights" if weights else "plain"
        add(f"self_{w}", 4, 2, x, None, None, weights=weights)
        add(f"self_f32_{w}", 4, 2, x, None, None, weights=weights, dtype="f32")
        add(f"memory_{w}", 4, 4, x, y, None, weights=weights)
        add(f"three_{w}", 4, 4, x, y, z, weights=weights)
        add(f"no_bias_{w}", 4, 2, x, y, z, weights=weights, bias=False)
        add(f"causal_{w}", 4, 2, x, None, None, None, causal(3), weights=weights)
        add(f"padding_{w}", 4, 2, x, y, z, padding(2, 4), weights=weights)
        add(f"float_{w}", 4, 2, x, y, z, padding(2, 4, torch.float), s.normal(3, 4), weights=weights)
        add(f"both_{w}", 4, 2, x, None, None, padding(2, 3), causal(3), weights=weights)
        add(f"heads_mask_{w}", 4, 2, x, y, z, None, s.normal(4, 3, 4), weights=weights)
        add(f"bias_kv_{w}", 4, 2, x, y, z, padding(2, 4), None, weights=weights, add_bias_kv=True)
        add(f"zero_attn_{w}", 4, 2, x, y, z, None, s.normal(3, 4), weights=weights, add_zero_attn=True)
        add(
            f"extra_{w}",
            4,
            2,
            x,
            None,
            None,
            padding(2, 3),
            causal(3),
            weights=weights,
            add_bias_kv=True,
            add_zero_attn=True,
        )
        add(f"dims_{w}", 4, 2, x, s.normal(4, 2, 3), s.normal(4, 2, 5), weights=weights, kdim=3, vdim=5)
        add(f"batch_first_{w}", 4, 2, x, s.normal(3, 5, 4), None, weights=weights, batch_first=True)
        add(f"single_{w}", 4, 2, s.normal(3, 4), s.normal(5, 4), None, weights=weights)
    add("heads", 4, 4, x, y, z, average=False)


def layer_options(options):
    names = {"relu": "relu", "gelu": "gelu"}
    return {k: names.get(v, v) for k, v in options.items()}


def transformers(area):
    s = Source("transformers")
    x, y = s.normal(3, 2, 4), s.normal(4, 2, 4)
    base = dict(dim_feedforward=6, dropout=0.0)
    table = {
        "post": {},
        "pre": dict(norm_first=True),
        "gelu": dict(activation="gelu", bias=False),
        "batch_first": dict(batch_first=True, norm_first=True, layer_norm_eps=1e-3),
    }
    for name, options in table.items():
        options = {**base, **options}
        first = options.get("batch_first", False)
        a, b = (x.transpose(0, 1), y.transpose(0, 1)) if first else (x, y)
        run(
            area,
            f"encoder_layer_{name}",
            nn.TransformerEncoderLayer(4, 2, **options),
            [a, causal(3), padding(2, 3)],
            None,
            "f64",
            d_model=4,
            nhead=2,
            **layer_options(options),
        )
        module = nn.TransformerDecoderLayer(4, 2, **options)
        run(
            area,
            f"decoder_layer_{name}",
            module,
            [a, b, causal(3), s.normal(3, 4), padding(2, 3), padding(2, 4)],
            module,
            "f64",
            d_model=4,
            nhead=2,
            **layer_options(options),
        )
    for dtype in ("f64", "f32"):
        run(
            area,
            f"encoder_{dtype}",
            nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, **base), 2, nn.LayerNorm(4)),
            [x, causal(3)],
            None,
            dtype,
            d_model=4,
            nhead=2,
            num_layers=2,
            norm=True,
            **base,
        )
    run(
        area,
        "decoder",
        nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, **base), 2),
        [x, y, causal(3), None, None, padding(2, 4)],
        None,
        "f64",
        d_model=4,
        nhead=2,
        num_layers=2,
        norm=False,
        **base,
    )
    module = nn.Transformer(4, 2, 1, 2, **base)
    run(
        area,
        "transformer",
        module,
        [y, x, None, causal(3), None, padding(2, 4), padding(2, 3), padding(2, 4)],
        module,
        "f64",
        d_model=4,
        nhead=2,
        num_encoder_layers=1,
        num_decoder_layers=2,
        **base,
    )


def recurrent_case(area, name, kind, x, lengths=None, h=None, c=None, **options):
    dtype = options.pop("dtype", "f64")
    module = getattr(nn, kind)(3, 4, **options)
    first = options.get("batch_first", False)

    def call(x, *rest):
        rest = [r for r in rest if r is not None and r.is_floating_point()]
        state = None if not rest else tuple(rest) if kind == "LSTM" else rest[0]
        if lengths is None:
            y, last = module(x, state)
        else:
            packed = pack_padded_sequence(x, lengths, first, enforce_sorted=False)
            y, last = module(packed, state)
            total = x.shape[1 if first else 0]
            y, _ = pad_packed_sequence(y, first, total_length=total)
        return (y, *last) if kind == "LSTM" else (y, last)

    inputs = [x, h] + ([c] if kind == "LSTM" else [])
    if lengths is not None:
        inputs.append(torch.tensor(lengths))
    run(area, name, module, inputs, call, dtype, input_size=3, hidden_size=4, **options)


def recurrents(area):
    s = Source("recurrents")
    x = s.normal(5, 3, 3)
    for kind in ("RNN", "LSTM", "GRU"):
        state = lambda layers, n=4: dict(
            h=s.normal(layers, 3, n), **({"c": s.normal(layers, 3, 4)} if kind == "LSTM" else {})
        )
        add = lambda name, *a, **k: recurrent_case(area, f"{kind.lower()}_{name}", kind, *a, **k)
        add("plain", x)
        add("f32", x, dtype="f32")
        add("state", x, **state(1))
        add("two", x, num_layers=2, bidirectional=True, **state(4))
        add("no_bias", x, bias=False)
        add("batch_first", s.normal(3, 5, 3), batch_first=True, num_layers=2)
        add("single", s.normal(5, 3), bidirectional=True)
        add("lengths", x, [2, 5, 3], **state(1))
        add("lengths_two", x, [4, 1, 5], num_layers=2, bidirectional=True, **state(4))
        add("lengths_f32", x, [4, 1, 5], bidirectional=True, dtype="f32")
        if kind == "RNN":
            add("relu", x, nonlinearity="relu")
        if kind == "LSTM":
            add("projection", x, proj_size=2, num_layers=2, bidirectional=True, **state(4, 2))
            add("projection_lengths", x, [2, 5, 3], proj_size=2)


def cells(area):
    s = Source("cells")
    for kind in ("RNNCell", "LSTMCell", "GRUCell"):
        for name, options, n in (("plain", {}, (2,)), ("no_bias", {"bias": False}, (2,)), ("single", {}, ())):
            module = getattr(nn, kind)(3, 4, **options)
            h, c = s.normal(*n, 4), s.normal(*n, 4)
            inputs = [s.normal(*n, 3), h] + ([c] if kind == "LSTMCell" else [])
            call = (lambda x, h, c: module(x, (h, c))) if kind == "LSTMCell" else module
            case = f"{kind.lower()}_{name}"
            run(area, case, module, inputs, call, "f64", input_size=3, hidden_size=4, **options)
    relu = nn.RNNCell(3, 4, nonlinearity="relu")
    run(
        area,
        "rnncell_relu",
        relu,
        [s.normal(2, 3)],
        relu,
        "f32",
        input_size=3,
        hidden_size=4,
        nonlinearity="relu",
    )


def bags(area):
    s = Source("bags")
    index, flat = s.integers(3, 4, high=6), s.integers(7, high=6)
    offsets, factor = torch.tensor([0, 2, 2, 5]), s.uniform(7, low=0.5, high=2.0)
    for mode in ("sum", "mean", "max"):
        for padding in (None, 2):
            case = f"bag_{mode}" if padding is None else f"bag_{mode}_padding"
            for name, inputs in (("rows", [index]), ("offsets", [flat, offsets])):
                module = nn.EmbeddingBag(6, 3, mode=mode, padding_idx=padding)
                extra = {} if padding is None else {"padding_idx": padding}
                sizes = dict(num_embeddings=6, embedding_dim=3)
                run(area, f"{case}_{name}", module, inputs, None, "f64", mode=mode, **sizes, **extra)
    module = nn.EmbeddingBag(6, 3, mode="sum", include_last_offset=True)
    run(
        area,
        "bag_weights",
        module,
        [flat, torch.tensor([0, 2, 2, 7]), factor],
        module,
        "f32",
        mode="sum",
        num_embeddings=6,
        embedding_dim=3,
        include_last_offset=True,
    )


def adaptives(area):
    s = Source("adaptives")
    for name, target in (("all", [0, 11, 4, 3, 2, 9, 5]), ("head", [0, 1, 2])):
        module = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0, head_bias=True)
        inputs = [s.normal(len(target), 8), torch.tensor(target)]
        call = lambda x, t: tuple(module(x, t))
        sizes = dict(in_features=8, n_classes=12, cutoffs=[3, 7])
        run(area, f"adaptive_{name}", module, inputs, call, "f64", **sizes)


def make(folder):
    area = Area("sequences", "Modules of sequences: inputs in0.., outputs out0.., all gradients.")
    for part in (attentions, transformers, recurrents, cells, bags, adaptives):
        part(area)
    area.write(folder)
