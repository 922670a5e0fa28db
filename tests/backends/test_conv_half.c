/* test_conv_half.c: convolution of float16 and bfloat16 at every CPU level. */
#include "tests/backends/conv_case.h"

#include "backends/cpu/simd/simd.h"
#include "backends/cpu/threads/parallel.h"

static void half_types(void)
{
    luc_conv2d_params p = shape(2, 6, 7, 8, 9, 3, 1, 1, 1, 1);
    for (int type = LUC_CONV_F16; type <= LUC_CONV_BF16; type++) {
        const bool bf16 = type == LUC_CONV_BF16;
        const double relative = bf16 ? 0x1p-8 : 0x1p-11;
        const int64_t nx = span(&p, X), nw = span(&p, W), ny = span(&p, Y);
        uint16_t x[2 * 6 * 7 * 8], w[9 * 6 * 9], y[2 * 9 * 7 * 8], dx[2 * 6 * 7 * 8], dw[9 * 6 * 9];
        float fx[2 * 6 * 7 * 8], fw[9 * 6 * 9], fy[2 * 9 * 7 * 8];
        float fdx[2 * 6 * 7 * 8], fdw[9 * 6 * 9];
        for (int64_t i = 0; i < nx; i++) {
            x[i] = bf16 ? luc_f32_to_bf16((float)uniform()) : luc_f32_to_f16((float)uniform());
            fx[i] = bf16 ? luc_bf16_to_f32(x[i]) : luc_f16_to_f32(x[i]);
        }
        for (int64_t i = 0; i < nw; i++) {
            w[i] = bf16 ? luc_f32_to_bf16((float)uniform()) : luc_f32_to_f16((float)uniform());
            fw[i] = bf16 ? luc_bf16_to_f32(w[i]) : luc_f16_to_f32(w[i]);
        }
        luc_conv_type t = (luc_conv_type)type;
        for (int pass = 0; pass < 3; pass++) {
            const luc_conv2d_plan plan = luc_conv2d_make_plan(&p, t, (luc_conv_pass)pass, NULL);
            void *space = block(plan.workspace);
            if (pass == 0) luc_conv2d_forward(&plan, x, w, NULL, y, space);
            for (int64_t i = 0; i < ny; i++)
                if (pass == 0) fy[i] = bf16 ? luc_bf16_to_f32(y[i]) : luc_f16_to_f32(y[i]);
            if (pass == 1) luc_conv2d_grad_input(&plan, y, w, dx, space);
            if (pass == 2) luc_conv2d_grad_weight(&plan, x, y, dw, NULL, space);
            free(space);
        }
        luc_conv2d_params q = p;
        q.method = LUC_CONV_REFERENCE;
        float ry[2 * 9 * 7 * 8];
        loops_forward(&q, LUC_CONV_F32, fx, fw, NULL, ry);
        loops_grad_input(&q, LUC_CONV_F32, fy, fw, fdx);
        loops_grad_weight(&q, LUC_CONV_F32, fx, fy, fdw, NULL);
        for (int64_t i = 0; i < ny; i++)
            cr_assert_float_eq(fy[i], ry[i], 1e-4 + relative * fabs((double)ry[i]));
        for (int64_t i = 0; i < nx; i++) {
            float got = bf16 ? luc_bf16_to_f32(dx[i]) : luc_f16_to_f32(dx[i]);
            cr_assert_float_eq(got, fdx[i], 1e-3 + relative * fabs((double)fdx[i]));
        }
        for (int64_t i = 0; i < nw; i++) {
            float got = bf16 ? luc_bf16_to_f32(dw[i]) : luc_f16_to_f32(dw[i]);
            cr_assert_float_eq(got, fdw[i], 1e-3 + relative * fabs((double)fdw[i]));
        }
    }
}
Test(conv, half_types)
{
    every_level(half_types);
}

/* Images that are part of a larger one: what lies around y and dx stays as it is. */
static void half_gaps(void)
{
    enum { SIDE = 4, ROW = 6, MARK = 0x4d4d };
    luc_conv2d_params p = shape(1, 2, SIDE, SIDE, 2, 3, 1, 1, 1, 1);
    uint16_t x[2 * SIDE * ROW], w[2 * 2 * 9], y[2 * SIDE * ROW];
    const int64_t stride[4] = {2 * SIDE * ROW, SIDE * ROW, ROW, 1};
    memcpy(p.x_stride, stride, sizeof stride);
    memcpy(p.y_stride, stride, sizeof stride);
    for (int i = 0; i < 2 * SIDE * ROW; i++) x[i] = luc_f32_to_bf16(1), y[i] = MARK;
    for (int i = 0; i < 2 * 2 * 9; i++) w[i] = luc_f32_to_bf16(1);
    for (int pass = 0; pass < 2; pass++) {
        const luc_conv2d_plan plan =
            luc_conv2d_make_plan(&p, LUC_CONV_BF16, (luc_conv_pass)pass, NULL);
        void *space = block(plan.workspace);
        if (pass == 0) luc_conv2d_forward(&plan, x, w, NULL, y, space);
        if (pass == 1) luc_conv2d_grad_input(&plan, x, w, y, space);
        free(space);
        for (int i = 0; i < 2 * SIDE * ROW; i++) {
            int row = i / ROW % SIDE, col = i % ROW;
            float ones = 2.0f * (row % (SIDE - 1) ? 3 : 2) * (col % (SIDE - 1) ? 3 : 2);
            if (col >= SIDE && i < 2 * SIDE * ROW - (ROW - SIDE))
                cr_assert_eq(y[i], MARK, "gap %d: %x", i, y[i]);
            else if (col < SIDE)
                cr_assert_eq(luc_bf16_to_f32(y[i]), ones, "%d", i);
        }
    }
}
Test(conv, half_gaps)
{
    every_level(half_gaps);
}
