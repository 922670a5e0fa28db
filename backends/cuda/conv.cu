/* conv.cu: conv2d, alone and with the operators that follow it in inference, and its two gradients:
 * by cuDNN, on tiles (conv_windows.cu, conv_weights.cu) or directly (conv_depthwise.cu,
 * conv_direct.cu). */
#include "backends/cuda/conv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

/* ---- the own kernels ------------------------------------------------------------------------ */

template <class T> static size_t own_workspace(const conv_job &j, const device_info *device)
{
    if (is_depthwise(j)) return depthwise_workspace(j, device);
    if (is_direct(j)) return direct_workspace(j, device);
    return j.v.pass == conv_grad_weight ? weights_workspace<T>(j, device)
                                        : windows_workspace<T>(j, device);
}

template <class T> static bool convolve(const call &c, const conv_job &j, void *workspace)
{
    if (is_depthwise(j)) return convolve_depthwise<T>(c, j, workspace);
    if (is_direct(j)) return convolve_directly<T>(c, j, workspace);
    return j.v.pass == conv_grad_weight ? convolve_weights<T>(c, j, workspace)
                                        : convolve_windows<T>(c, j, workspace);
}

/* ---- the kernels of the table --------------------------------------------------------------- */

/* The same sizes as v, dense in channels_last memory at `data`. */
static lucid_view dense(const lucid_view *v, void *data)
{
    lucid_view d = *v;
    d.data = data;
    d.strides[1] = 1;
    d.strides[3] = d.dims[1];
    d.strides[2] = d.dims[3] * d.strides[3];
    d.strides[0] = d.dims[2] * d.strides[2];
    return d;
}

static bool is_dense(const lucid_view *v)
{
    lucid_view d = dense(v, v->data);
    for (int i = 0; i < 4; i++)
        if (v->dims[i] != 1 && v->strides[i] != d.strides[i]) return false;
    return true;
}

/* A call of the table, and how it is computed. */
struct plan {
    conv_job job;
    bool empty; /* nothing to write */
    const lucid_view *x, *w, *y, *bias, *residual;
    running_norm norm; /* of conv2d_batch_norm */
    size_t bytes;      /* of the whole workspace */
    /* Offsets in the workspace; -1: not needed. These are for both ways: */
    ptrdiff_t scale_at, shift_at, residual_at, own_at;
    /* these are for the library: */
    bool by_library;
    const char *refusal;
    lucid_keep *keep; /* where w's copy stays for the next call; NULL: nowhere */
    size_t library_bytes;
    ptrdiff_t x_at, w_at, y_at, bias_at, library_at; /* of copies */
};

static ptrdiff_t reserve(size_t *used, size_t bytes)
{
    size_t at = *used;
    *used += (bytes + 255) & ~(size_t)255;
    return (ptrdiff_t)at;
}

static void set_job(plan *p, const lucid_kernel_args *args)
{
    const lucid_view *first = args->in[0], *second = args->in[1], *out = args->out[0];
    convolution &v = p->job.v;
    v.dtype = first->dtype;
    v.device = args->device;
    if (args->op == LUCID_OP_conv2d_backward_input) {
        v.pass = conv_grad_input;
        p->y = first, p->w = second, p->x = out;
    } else if (args->op == LUCID_OP_conv2d_backward_weight) {
        v.pass = conv_grad_weight;
        p->y = first, p->x = second, p->w = out;
    } else {
        v.pass = conv_forward;
        p->x = first, p->w = second, p->y = out;
        p->bias = args->n_in > 2 ? args->in[2] : nullptr;
        v.has_shift = p->bias != nullptr;
    }
    if (args->op == LUCID_OP_conv2d_batch_norm) {
        const auto *norm = static_cast<const lucid_conv2d_batch_norm_attrs *>(args->attrs);
        p->norm = {p->bias, args->in[3], args->in[4], args->in[5], args->in[6], norm->eps};
        p->bias = nullptr; /* it is part of the shift */
        p->residual = args->in[7];
        v.has_scale = v.has_shift = true;
        v.has_residual = p->residual != nullptr;
        v.relu = norm->relu;
    }
    /* the attributes of conv2d_batch_norm begin with those of conv2d */
    const lucid_conv2d_attrs *a = static_cast<const lucid_conv2d_attrs *>(args->attrs);
    const int64_t *x = p->x->dims, *y = p->y->dims, *w = p->w->dims;
    v.n = x[0], v.c = x[1], v.h = x[2], v.w = x[3];
    v.o = w[0], v.kh = w[2], v.kw = w[3];
    v.oh = y[2], v.ow = y[3];
    for (int i = 0; i < 2; i++) {
        v.stride[i] = a->stride[i];
        v.padding[i] = a->padding[i];
        v.dilation[i] = a->dilation[i];
    }
    v.groups = a->groups;
    conv_job &j = p->job;
    memcpy(j.x_stride, p->x->strides, sizeof j.x_stride);
    memcpy(j.w_stride, p->w->strides, sizeof j.w_stride);
    memcpy(j.y_stride, p->y->strides, sizeof j.y_stride);
    j.bias_stride = p->bias ? p->bias->strides[0] : 0;
    j.data.x = p->x->data;
    j.data.w = p->w->data;
    j.data.y = p->y->data;
    j.data.shift = p->bias ? p->bias->data : nullptr;
    j.data.residual = p->residual ? p->residual->data : nullptr;
    int64_t written = v.pass == conv_grad_input    ? v.n * v.c * v.h * v.w
                      : v.pass == conv_grad_weight ? v.o * w[1] * v.kh * v.kw
                                                   : v.n * v.o * v.oh * v.ow;
    p->empty = written == 0;
}

static size_t size_of(lucid_dtype dtype)
{
    return dtype == LUCID_F64 ? 8 : dtype == LUCID_F32 ? 4 : 2;
}

static int64_t elements_of(const lucid_view *v)
{
    int64_t n = 1;
    for (int d = 0; d < v->ndim; d++) n *= v->dims[d];
    return n;
}

static int alignment_of(const void *p)
{
    int a = 16;
    while (a > 1 && !is_aligned(p, (size_t)a)) a /= 2;
    return a;
}

/* If the library takes the call, operands in another layout are copied into the workspace first,
 * from `used` on. */
static void ask_library(plan *p, size_t used)
{
    convolution &v = p->job.v;
    const size_t size = size_of(v.dtype);
    p->x_at = p->w_at = p->y_at = p->bias_at = -1;
    if (v.n == 0 || v.c == 0 || v.o == 0) {
        p->refusal = "nothing to add up";
        return;
    }
    v.alignment = 16;
    const lucid_view *views[] = {p->x, p->w, p->y};
    ptrdiff_t *places[] = {&p->x_at, &p->w_at, &p->y_at};
    for (int i = 0; i < 3; i++) {
        if (i == 1 && p->keep)
            continue;
        else if (!is_dense(views[i]))
            *places[i] = reserve(&used, (size_t)elements_of(views[i]) * size);
        else if (alignment_of(views[i]->data) < v.alignment)
            v.alignment = alignment_of(views[i]->data);
    }
    if (p->residual && p->residual_at < 0 && alignment_of(p->residual->data) < v.alignment)
        v.alignment = alignment_of(p->residual->data);
    if (p->bias && p->bias->strides[0] != 1 && v.o > 1)
        p->bias_at = reserve(&used, (size_t)v.o * size);
    else if (p->bias && alignment_of(p->bias->data) < v.alignment)
        v.alignment = alignment_of(p->bias->data);
    p->refusal = dnn_refuses(v, &p->library_bytes);
    p->by_library = !p->refusal;
    if (!p->by_library) return;
    p->library_at = reserve(&used, p->library_bytes);
    if (used > p->bytes) p->bytes = used;
}

template <class T> static plan plan_of(const lucid_kernel_args *args, const device_info *device)
{
    plan p = {};
    set_job(&p, args);
    if (p.empty) return p;
    if (p.job.v.pass != conv_grad_weight && !is_dense(p.w)) p.keep = args->keep;
    size_t used = 0;
    p.scale_at = p.shift_at = p.residual_at = -1;
    if (p.norm.var) {
        p.scale_at = reserve(&used, (size_t)p.job.v.o * sizeof(compute_t<T>));
        p.shift_at = reserve(&used, (size_t)p.job.v.o * sizeof(compute_t<T>));
    }
    if (p.residual && !is_dense(p.residual))
        p.residual_at = reserve(&used, (size_t)elements_of(p.residual) * sizeof(T));
    p.own_at = (ptrdiff_t)used;
    p.bytes = used + own_workspace<T>(p.job, device);
    ask_library(&p, used);
    return p;
}

/* *data is the view, or its copy in the workspace. The copy is filled if the view is read. */
static bool dense_operand(const call &c, const lucid_view *v, ptrdiff_t at, bool read, void **data)
{
    *data = v->data;
    if (at < 0) return true;
    *data = c.workspace<char>() + at;
    lucid_view copy = v->ndim == 4 ? dense(v, *data) : *v;
    copy.data = *data;
    if (v->ndim == 1) copy.strides[0] = 1;
    return !read || copy_view(c.args->device, &copy, v);
}

/* Both ways need scale and shift, and the residual in y's layout. */
static bool prepare(const call &c, plan *p)
{
    convolution_data &d = p->job.data;
    if (p->norm.var) {
        char *scale = c.workspace<char>() + p->scale_at, *shift = c.workspace<char>() + p->shift_at;
        if (!fold_norm(c, p->norm, p->job.v.dtype, scale, shift)) return false;
        d.scale = scale;
        d.shift = shift;
    }
    if (!p->residual) return true;
    if (!is_dense(p->y)) return c.unsupported("output: expected channels_last memory");
    void *residual;
    if (!dense_operand(c, p->residual, p->residual_at, true, &residual)) return false;
    d.residual = residual;
    return true;
}

/* The weights in channels_last memory: the kept copy, or a new one that is kept from now on. NULL
 * after an error. */
static lucid_kept *keep_dense(const call &c, const plan &p)
{
    struct {
        int64_t dims[4], strides[4], dtype;
    } key = {};
    memcpy(key.dims, p.w->dims, sizeof key.dims);
    memcpy(key.strides, p.w->strides, sizeof key.strides);
    key.dtype = p.w->dtype;
    static_assert(sizeof key <= LUCID_KEEP_KEY, "the key is too long");
    if (lucid_kept *kept = host.keep_find(p.keep, &key, sizeof key)) return kept;
    const size_t bytes = (size_t)elements_of(p.w) * size_of(p.w->dtype);
    lucid_kept *kept = host.kept_new(p.keep, bytes, &key, sizeof key);
    if (!kept) {
        raise(LUCID_ERR_MEMORY, c.op, "out of memory: %zu bytes for weights in channels_last",
              bytes);
        return nullptr;
    }
    lucid_view copy = dense(p.w, host.kept_data(kept));
    if (copy_view(c.args->device, &copy, p.w)) {
        host.keep_put(p.keep, kept);
        return kept;
    }
    host.kept_release(kept);
    return nullptr;
}

static outcome by_library_with(const call &c, const plan &p, void *w)
{
    const convolution &v = p.job.v;
    convolution_data d = p.job.data;
    void *bias = nullptr;
    d.w = w;
    if (!dense_operand(c, p.x, p.x_at, v.pass != conv_grad_input, &d.x) ||
        (!w && !dense_operand(c, p.w, p.w_at, v.pass != conv_grad_weight, &d.w)) ||
        !dense_operand(c, p.y, p.y_at, v.pass != conv_forward, &d.y) ||
        (p.bias && !dense_operand(c, p.bias, p.bias_at, true, &bias)))
        return failed;
    if (p.bias) d.shift = bias;
    outcome o = dnn_convolve(c, v, d, c.workspace<char>() + p.library_at, p.library_bytes);
    if (o != done) return o;
    const lucid_view *out = c.out(0);
    void *made = v.pass == conv_grad_input ? d.x : v.pass == conv_grad_weight ? d.w : d.y;
    if (made == out->data) return done;
    lucid_view from = dense(out, made);
    return copy_view(c.args->device, out, &from) ? done : failed;
}

static outcome by_library(const call &c, const plan &p)
{
    lucid_kept *kept = p.keep ? keep_dense(c, p) : nullptr;
    if (p.keep && !kept) return failed;
    outcome o = by_library_with(c, p, kept ? host.kept_data(kept) : nullptr);
    if (kept) host.kept_release(kept);
    return o;
}

template <class T> static bool convolve_kernel(const lucid_kernel_args *args)
{
    call c(args);
    if (!c.device) return false;
    plan p = handed_on<plan>(args);
    if (p.empty) return true;
    if (!prepare(c, &p)) return false;
    if (p.by_library) {
        outcome o = by_library(c, p);
        if (o != not_handled) return o == done;
    } else {
        count_call(cudnn, p.refusal);
    }
    return convolve<T>(c, p.job, c.workspace<char>() + p.own_at);
}

template <class T> static bool plan_of_dtype(const lucid_kernel_args *args, lucid_plan *out)
{
    const device_info *device = use_device(args->device, op_name(args->op));
    if (!device) return false;
    const plan p = plan_of<T>(args, device);
    out->workspace = p.bytes;
    hand_on(out, p);
    return true;
}

static bool plan_convolution(const lucid_kernel_args *args, lucid_plan *out)
{
    switch (args->in[0]->dtype) {
    case LUCID_F32:
        return plan_of_dtype<float>(args, out);
    case LUCID_F64:
        return plan_of_dtype<double>(args, out);
    case LUCID_F16:
        return plan_of_dtype<f16>(args, out);
    default:
        return plan_of_dtype<bf16>(args, out);
    }
}

#ifdef LUC_CUDA_EMULATED
/* This stands for the library where only the code around it is tested: LUC_EMULATOR_DNN=1. An odd
 * number of channels stands for a library that takes the whole graph. */
const char *dnn_refuses(const convolution &, size_t *bytes)
{
    const char *s = getenv("LUC_EMULATOR_DNN");
    if (!s || *s != '1') return "off";
    *bytes = (size_t)64 << 20;
    return nullptr;
}

void count_call(library, const char *)
{
}

template <class T>
static bool convolve_dense(const call &c, const convolution &v, const convolution_data &d,
                           void *workspace)
{
    conv_job j = {};
    lucid_view x = {}, w = {}, y = {};
    const int64_t dims[3][4] = {
        {v.n, v.c, v.h, v.w}, {v.o, v.c / v.groups, v.kh, v.kw}, {v.n, v.o, v.oh, v.ow}};
    memcpy(x.dims, dims[0], sizeof dims[0]);
    memcpy(w.dims, dims[1], sizeof dims[1]);
    memcpy(y.dims, dims[2], sizeof dims[2]);
    j.v = v;
    j.data = d;
    if (v.o % 2 == 0) j.v.has_scale = j.v.has_shift = j.v.has_residual = j.v.relu = false;
    j.bias_stride = 1;
    memcpy(j.x_stride, dense(&x, d.x).strides, sizeof j.x_stride);
    memcpy(j.w_stride, dense(&w, d.w).strides, sizeof j.w_stride);
    memcpy(j.y_stride, dense(&y, d.y).strides, sizeof j.y_stride);
    return convolve<T>(c, j, workspace) && (v.o % 2 || finish_convolution(c, v, d));
}

outcome dnn_convolve(const call &c, const convolution &v, const convolution_data &d,
                     void *workspace, size_t)
{
    bool ok = v.dtype == LUCID_F32   ? convolve_dense<float>(c, v, d, workspace)
              : v.dtype == LUCID_F64 ? convolve_dense<double>(c, v, d, workspace)
              : v.dtype == LUCID_F16 ? convolve_dense<f16>(c, v, d, workspace)
                                     : convolve_dense<bf16>(c, v, d, workspace);
    return ok ? done : failed;
}
#endif

void register_conv(lucid_backend *b)
{
    LUC_FLOATS(b, conv2d, convolve_kernel);
    LUC_FLOATS(b, conv2d_batch_norm, convolve_kernel);
    LUC_FLOATS(b, conv2d_backward_input, convolve_kernel);
    LUC_FLOATS(b, conv2d_backward_weight, convolve_kernel);
    for (lucid_op_id op : {LUCID_OP_conv2d, LUCID_OP_conv2d_batch_norm,
                           LUCID_OP_conv2d_backward_input, LUCID_OP_conv2d_backward_weight})
        set_plan(b, op, plan_convolution);
}

} // namespace luc
