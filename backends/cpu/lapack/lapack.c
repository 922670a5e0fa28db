/* lapack.c: linear algebra by the LAPACK in OpenBLAS, which is loaded at run time, as
 * matmul/openblas.h says. Where it is not installed every kernel of this file raises one error.
 *
 * Matrices are copied into column-major workspace, computed one after the other, and copied out.
 * float32 and float64. */
#include "backends/cpu/matmul/openblas.h"
#include "backends/cpu/strided/loop.h"
#include "lucid/core/attrs.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/error_priv.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>

/* ---- the functions --------------------------------------------------------------------------- */

/* Lengths of the strings follow all other arguments, as Fortran has it. */
typedef struct lapack {
    void (*getrf)(const int *m, const int *n, void *a, const int *lda, int *pivots, int *info);
    void (*getrs)(const char *trans, const int *n, const int *k, const void *a, const int *lda,
                  const int *pivots, void *b, const int *ldb, int *info, size_t);
    void (*potrf)(const char *uplo, const int *n, void *a, const int *lda, int *info, size_t);
    void (*trtrs)(const char *uplo, const char *trans, const char *diag, const int *n, const int *k,
                  const void *a, const int *lda, void *b, const int *ldb, int *info, size_t, size_t,
                  size_t);
    void (*geqrf)(const int *m, const int *n, void *a, const int *lda, void *tau, void *work,
                  const int *lwork, int *info);
    void (*orgqr)(const int *m, const int *n, const int *k, void *a, const int *lda,
                  const void *tau, void *work, const int *lwork, int *info);
    void (*gesdd)(const char *job, const int *m, const int *n, void *a, const int *lda, void *s,
                  void *u, const int *ldu, void *vt, const int *ldvt, void *work, const int *lwork,
                  int *iwork, int *info, size_t);
    void (*syevd)(const char *job, const char *uplo, const int *n, void *a, const int *lda,
                  void *values, void *work, const int *lwork, int *iwork, const int *liwork,
                  int *info, size_t, size_t);
} lapack;

static bool find(void *lib, bool is_f64, lapack *f)
{
    const struct {
        const char *names[2];
        void *slot;
    } functions[] = {
        {{"sgetrf_", "dgetrf_"}, &f->getrf}, {{"sgetrs_", "dgetrs_"}, &f->getrs},
        {{"spotrf_", "dpotrf_"}, &f->potrf}, {{"strtrs_", "dtrtrs_"}, &f->trtrs},
        {{"sgeqrf_", "dgeqrf_"}, &f->geqrf}, {{"sorgqr_", "dorgqr_"}, &f->orgqr},
        {{"sgesdd_", "dgesdd_"}, &f->gesdd}, {{"ssyevd_", "dsyevd_"}, &f->syevd},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(lib, functions[i].names[is_f64]);
        if (!function) return false;
        memcpy(functions[i].slot, &function, sizeof function);
    }
    return true;
}

/* ---- matrices -------------------------------------------------------------------------------- */

/* One kernel call: sizes, and where the parts of the workspace are. */
typedef struct job {
    lapack f;
    lucid_op_id op;
    int which; /* of `family` */
    const char *name;
    const lucid_linalg_attrs *attrs;
    size_t size;           /* of an element */
    int64_t batch, number; /* how many matrices; which of them */
    int m, n, k;           /* a is [m,n]; k: columns of b, or min(m, n) */
    int lwork, liwork;
    char *a, *b, *c, *tau, *work;
    int *integers; /* pivots, or LAPACK's integer workspace */
} job;

static void put_number(const job *j, void *to, int64_t at, double x)
{
    if (j->size == 8)
        ((double *)to)[at] = x;
    else
        ((float *)to)[at] = (float)x;
}

static double number_at(const job *j, const void *from, int64_t at)
{
    return j->size == 8 ? ((const double *)from)[at] : (double)((const float *)from)[at];
}

/* The bytes from the view's beginning to matrix j->number, whose own dimensions are `inner`. */
static int64_t matrix_offset(const job *j, const lucid_view *v, int inner)
{
    int64_t offset = 0, i = j->number;
    for (int d = v->ndim - inner - 1; d >= 0; d--) {
        offset += i % v->dims[d] * v->strides[d];
        i /= v->dims[d];
    }
    return offset * (int64_t)j->size;
}

/* Copies a matrix of rows x cols between memory of any strides. */
static void copy(const job *j, char *to, int64_t to_row, int64_t to_col, const char *from,
                 int64_t from_row, int64_t from_col, int rows, int cols)
{
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < rows; r++) {
            if (j->size == 8)
                ((double *)(void *)to)[r * to_row + c * to_col] =
                    ((const double *)(const void *)from)[r * from_row + c * from_col];
            else
                ((float *)(void *)to)[r * to_row + c * to_col] =
                    ((const float *)(const void *)from)[r * from_row + c * from_col];
        }
}

/* Matrix j->number of a view, as columns of `lead` elements. */
static void copy_in(const job *j, const lucid_view *v, char *to, int lead)
{
    const char *from = (const char *)v->data + matrix_offset(j, v, 2);
    copy(j, to, 1, lead, from, v->strides[v->ndim - 2], v->strides[v->ndim - 1],
         (int)v->dims[v->ndim - 2], (int)v->dims[v->ndim - 1]);
}

static void copy_out(const job *j, const lucid_view *v, const char *from, int lead)
{
    char *to = (char *)v->data + matrix_offset(j, v, 2);
    copy(j, to, v->strides[v->ndim - 2], v->strides[v->ndim - 1], from, 1, lead,
         (int)v->dims[v->ndim - 2], (int)v->dims[v->ndim - 1]);
}

static void vector_out(const job *j, const lucid_view *v, const char *from)
{
    char *to = (char *)v->data + matrix_offset(j, v, 1);
    copy(j, to, v->strides[v->ndim - 1], 1, from, 1, 1, (int)v->dims[v->ndim - 1], 1);
}

static void scalar_out(const job *j, const lucid_view *v, double x)
{
    put_number(j, (char *)v->data + matrix_offset(j, v, 0), 0, x);
}

/* Keeps one triangle of columns of `lead` elements; the rest becomes 0. */
static void keep_triangle(const job *j, char *a, int rows, int cols, int lead, bool upper)
{
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < rows; r++)
            if (upper ? r > c : r < c) put_number(j, a, r + c * lead, 0);
}

static bool all_finite(const job *j)
{
    for (int64_t i = 0; i < (int64_t)j->m * j->n; i++)
        if (!isfinite(number_at(j, j->a, i)))
            return luc_raise(LUCID_ERR_ARGUMENT, j->name,
                             "a: expected finite numbers, got %g in matrix %lld",
                             number_at(j, j->a, i), (long long)j->number);
    return true;
}

/* ---- the operators: one matrix each ---------------------------------------------------------- */

static bool cholesky(job *j, const lucid_kernel_args *args)
{
    const char *uplo = j->attrs->upper ? "U" : "L";
    int info = 0;
    copy_in(j, args->in[0], j->a, j->n);
    j->f.potrf(uplo, &j->n, j->a, &j->n, &info, 1);
    if (info > 0)
        return luc_raise(LUCID_ERR_ARGUMENT, j->name,
                         "a: expected positive definite matrices, but the first %d rows and "
                         "columns of matrix %lld are not",
                         info, (long long)j->number);
    keep_triangle(j, j->a, j->n, j->n, j->n, j->attrs->upper);
    copy_out(j, args->out[0], j->a, j->n);
    return true;
}

/* The determinant from the pivots: itself, or the logarithm of its size and its sign. */
static bool determinant(job *j, const lucid_kernel_args *args)
{
    int info = 0;
    double det = 1, sign = 1, log_size = 0;
    copy_in(j, args->in[0], j->a, j->n);
    j->f.getrf(&j->n, &j->n, j->a, &j->n, j->integers, &info);
    for (int64_t i = 0; i < j->n; i++) {
        const double pivot = number_at(j, j->a, i * j->n + i);
        if (j->integers[i] != i + 1) sign = -sign, det = -det;
        det *= pivot;
        sign *= isnan(pivot) ? pivot : pivot > 0 ? 1 : pivot < 0 ? -1 : 0;
        log_size += log(fabs(pivot));
    }
    if (j->op == LUCID_OP_linalg_det) {
        scalar_out(j, args->out[0], det);
        return true;
    }
    scalar_out(j, args->out[0], log_size);
    scalar_out(j, args->out[1], sign);
    return true;
}

static bool singular(const job *j, int pivot)
{
    return luc_raise(LUCID_ERR_ARGUMENT, j->name,
                     "a: expected matrices with an inverse, but matrix %lld is singular: its pivot "
                     "%d is 0",
                     (long long)j->number, pivot);
}

static bool solve(job *j, const lucid_kernel_args *args)
{
    int info = 0;
    copy_in(j, args->in[0], j->a, j->n);
    copy_in(j, args->in[1], j->b, j->n);
    j->f.getrf(&j->n, &j->n, j->a, &j->n, j->integers, &info);
    if (info > 0) return singular(j, info);
    j->f.getrs("N", &j->n, &j->k, j->a, &j->n, j->integers, j->b, &j->n, &info, 1);
    copy_out(j, args->out[0], j->b, j->n);
    return true;
}

static bool solve_triangular(job *j, const lucid_kernel_args *args)
{
    int info = 0;
    copy_in(j, args->in[0], j->a, j->n);
    copy_in(j, args->in[1], j->b, j->n);
    j->f.trtrs(j->attrs->upper ? "U" : "L", "N", j->attrs->unit ? "U" : "N", &j->n, &j->k, j->a,
               &j->n, j->b, &j->n, &info, 1, 1, 1);
    if (info > 0) return singular(j, info);
    copy_out(j, args->out[0], j->b, j->n);
    return true;
}

/* A room of max(m, n) columns, because a full Q has m of them. */
static bool qr(job *j, const lucid_kernel_args *args)
{
    int info = 0;
    const int columns = j->attrs->full ? j->m : j->k;
    copy_in(j, args->in[0], j->a, j->m);
    j->f.geqrf(&j->m, &j->n, j->a, &j->m, j->tau, j->work, &j->lwork, &info);
    memcpy(j->b, j->a, (size_t)j->m * (size_t)j->n * j->size);
    keep_triangle(j, j->b, j->m, j->n, j->m, true);
    copy_out(j, args->out[1], j->b, j->m);
    if (j->k < columns) { /* what is beyond the reflectors is not read, but must not be NaN */
        const size_t known = (size_t)j->m * (size_t)j->k * j->size;
        memset(j->a + known, 0, (size_t)j->m * (size_t)columns * j->size - known);
    }
    j->f.orgqr(&j->m, &columns, &j->k, j->a, &j->m, j->tau, j->work, &j->lwork, &info);
    copy_out(j, args->out[0], j->a, j->m);
    return true;
}

static bool no_convergence(const job *j)
{
    return luc_raise(LUCID_ERR_ARGUMENT, j->name, "a: matrix %lld: LAPACK found no solution",
                     (long long)j->number);
}

static bool svd(job *j, const lucid_kernel_args *args)
{
    const char *how = j->attrs->values_only ? "N" : j->attrs->full ? "A" : "S";
    const int rows = j->attrs->full ? j->n : j->k; /* of vh */
    int info = 0;
    copy_in(j, args->in[0], j->a, j->m);
    if (!all_finite(j)) return false;
    j->f.gesdd(how, &j->m, &j->n, j->a, &j->m, j->tau, j->b, &j->m, j->c, &rows, j->work, &j->lwork,
               j->integers, &info, 1);
    if (info != 0) return no_convergence(j);
    vector_out(j, args->out[1], j->tau);
    if (j->attrs->values_only) return true;
    copy_out(j, args->out[0], j->b, j->m);
    copy_out(j, args->out[2], j->c, rows);
    return true;
}

static bool eigh(job *j, const lucid_kernel_args *args)
{
    int info = 0;
    copy_in(j, args->in[0], j->a, j->n);
    if (!all_finite(j)) return false;
    j->f.syevd(j->attrs->values_only ? "N" : "V", j->attrs->upper ? "U" : "L", &j->n, j->a, &j->n,
               j->tau, j->work, &j->lwork, j->integers, &j->liwork, &info, 1, 1);
    if (info != 0) return no_convergence(j);
    vector_out(j, args->out[0], j->tau);
    if (!j->attrs->values_only) copy_out(j, args->out[1], j->a, j->n);
    return true;
}

static const struct {
    lucid_op_id op;
    const char *name;
    bool (*run)(job *j, const lucid_kernel_args *args);
} family[] = {
    {LUCID_OP_linalg_cholesky, "linalg_cholesky", cholesky},
    {LUCID_OP_linalg_det, "linalg_det", determinant},
    {LUCID_OP_linalg_slogdet, "linalg_slogdet", determinant},
    {LUCID_OP_linalg_solve, "linalg_solve", solve},
    {LUCID_OP_linalg_solve_triangular, "linalg_solve_triangular", solve_triangular},
    {LUCID_OP_linalg_qr, "linalg_qr", qr},
    {LUCID_OP_linalg_svd, "linalg_svd", svd},
    {LUCID_OP_linalg_eigh, "linalg_eigh", eigh},
};
enum { FAMILY = sizeof family / sizeof *family };

/* ---- sizes and workspace --------------------------------------------------------------------- */

/* The elements of LAPACK's workspace, as its manual has them. */
static int64_t work_elements(const job *j)
{
    const int64_t m = j->m, n = j->n, k = j->k;
    enum { BLOCK = 64 };
    switch (j->op) {
    case LUCID_OP_linalg_qr:
        return BLOCK * (m > n ? m : n);
    case LUCID_OP_linalg_svd:
        return 4 * k * k + 8 * k + BLOCK * (m + n);
    case LUCID_OP_linalg_eigh:
        return 2 * n * n + (6 + BLOCK) * n + 1;
    default:
        return 1;
    }
}

static size_t rounded(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* Sets the sizes of a job, and the parts of its workspace from `base` on; returns their bytes. */
static size_t lay_out(job *j, const lucid_kernel_args *args, char *base)
{
    const lucid_view *a = args->in[0];
    j->op = args->op;
    j->which = 0;
    while (family[j->which].op != args->op) j->which++;
    j->name = family[j->which].name;
    j->attrs = args->attrs;
    j->size = luc_elem_size(a->dtype);
    j->m = (int)a->dims[a->ndim - 2];
    j->n = (int)a->dims[a->ndim - 1];
    j->k = j->m < j->n ? j->m : j->n;
    if (args->n_in == 2) j->k = (int)args->in[1]->dims[args->in[1]->ndim - 1];
    j->batch = 1;
    for (int d = 0; d < a->ndim - 2; d++) j->batch *= a->dims[d];
    const int64_t lwork = work_elements(j), most = j->m > j->n ? j->m : j->n;
    j->lwork = (int)lwork;
    j->liwork = (int)(8 * most + 16);
    const bool square = j->op == LUCID_OP_linalg_svd || j->op == LUCID_OP_linalg_qr;
    const bool second = square || args->n_in == 2;
    const int64_t all = square ? most * most : (int64_t)j->m * j->n;
    const int64_t counts[] = {all,
                              !second          ? 0
                              : args->n_in > 1 ? (int64_t)j->n * j->k
                                               : all,
                              j->op == LUCID_OP_linalg_svd ? all : 0, most, lwork};
    char **parts[] = {&j->a, &j->b, &j->c, &j->tau, &j->work};
    size_t at = 0;
    for (int i = 0; i < 5; i++) {
        *parts[i] = base ? base + at : NULL;
        at += rounded((size_t)counts[i] * j->size);
    }
    j->integers = base ? (int *)(void *)(base + at) : NULL;
    return at + rounded((size_t)j->liwork * sizeof *j->integers);
}

/* LAPACK counts in 32 bits: .infer has refused matrices whose workspace it could not count. */
static bool plan(const lucid_kernel_args *args, lucid_plan *p)
{
    job j;
    p->workspace = lay_out(&j, args, NULL);
    return true;
}

static bool absent(const char *name)
{
    return luc_raise(LUCID_ERR_UNSUPPORTED, name,
                     "OpenBLAS with LAPACK is not there: install libopenblas (on Debian and Ubuntu "
                     "libopenblas0-pthread)");
}

static bool run_matrices(job *j, const lucid_kernel_args *args)
{
    bool ok = true;
    for (j->number = 0; ok && j->number < j->batch; j->number++) ok = family[j->which].run(j, args);
    return ok;
}

/* An empty matrix has the determinant 1, and a full Q or U of nothing is the identity. */
static bool run_empty(job *j, const lucid_kernel_args *args)
{
    for (j->number = 0; j->number < j->batch; j->number++) {
        if (j->op == LUCID_OP_linalg_det || j->op == LUCID_OP_linalg_slogdet) {
            scalar_out(j, args->out[args->n_out - 1], 1);
            if (args->n_out == 2) scalar_out(j, args->out[0], 0);
        }
        for (int i = 0; i < args->n_out; i++) {
            const lucid_view *v = args->out[i];
            const bool is_identity =
                (j->op == LUCID_OP_linalg_qr && i == 0) || (j->op == LUCID_OP_linalg_svd && i != 1);
            if (!is_identity || luc_view_numel(v) == 0) continue;
            const int n = (int)v->dims[v->ndim - 1];
            char *to = (char *)v->data + matrix_offset(j, v, 2);
            for (int64_t r = 0; r < n; r++)
                for (int64_t c = 0; c < n; c++)
                    put_number(j, to, r * v->strides[v->ndim - 2] + c * v->strides[v->ndim - 1],
                               r == c);
        }
    }
    return true;
}

static bool run(const lucid_kernel_args *args)
{
    job j;
    lay_out(&j, args, args->workspace);
    if (j.batch == 0) return true;
    if (j.m == 0 || j.n == 0) return run_empty(&j, args);
    if (args->n_in == 2 && j.k == 0) return true; /* no right side */
    void *lib = luc_openblas_begin();
    if (!lib) return absent(j.name);
    const bool there = find(lib, j.size == 8, &j.f), ok = there && run_matrices(&j, args);
    luc_openblas_end();
    return there ? ok : absent(j.name);
}

void luc_cpu_register_lapack(lucid_backend *b)
{
    for (int i = 0; i < FAMILY; i++) {
        b->kernels[family[i].op][LUCID_F32] = (lucid_kernel){plan, run};
        b->kernels[family[i].op][LUCID_F64] = (lucid_kernel){plan, run};
    }
}
