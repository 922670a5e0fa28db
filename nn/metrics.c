/* metrics.c: top-k accuracy, the confusion matrix and its measures, the area under the ROC
 * curve. */
#include "nn/metrics_priv.h"
#include "autograd/autograd.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

static bool is_integer(const lucid_tensor *t)
{
    lucid_dtype d = lucid_tensor_dtype(t);
    return !lucid_dtype_is_floating(d) && d != LUCID_BOOL;
}

/* The elements, row-major; the caller's to luc_free. Every class fits into a double. */
static double *read(lucid_tensor *t, const char *op)
{
    size_t n = (size_t)lucid_numel(t);
    double *v = luc_calloc(n, sizeof *v, op);
    if (v && lucid_to_doubles(t, v, n)) return v;
    luc_free(v);
    return NULL;
}

static bool check_target(const char *op, const double *target, int64_t n, int64_t classes,
                         double ignored)
{
    for (int64_t i = 0; i < n; i++)
        if (target[i] != ignored && !(target[i] >= 0 && target[i] < (double)classes))
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "target: expected classes from 0 to %lld, got %g at %lld",
                             (long long)classes - 1, target[i], (long long)i);
    return true;
}

/* ---- top-k ----------------------------------------------------------------------------------- */

/* How many classes come before a class. */
static int64_t rank(const double *scores, int64_t classes, int64_t at)
{
    int64_t before = 0;
    for (int64_t c = 0; c < classes; c++)
        before += scores[c] > scores[at] || (scores[c] == scores[at] && c < at) ||
                  (isnan(scores[at]) && c != at);
    return before;
}

static bool check_topk(lucid_tensor *scores, lucid_tensor *target, int64_t k)
{
    const char *op = "topk_accuracy";
    if (!luc_check_tensor(scores, op, "scores") || !luc_check_tensor(target, op, "target"))
        return false;
    if (lucid_ndim(scores) != 2)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "scores: expected [N,C], got %s",
                         luc_shape_text(scores).s);
    if (!is_integer(target) || lucid_ndim(target) != 1 ||
        lucid_size(target, 0) != lucid_size(scores, 0))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "target: expected %lld classes, got %s %s",
                         (long long)lucid_size(scores, 0), luc_shape_text(target).s,
                         lucid_dtype_name(lucid_tensor_dtype(target)));
    return (k >= 1 && k <= lucid_size(scores, 1)) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "k: expected 1 to %lld, got %lld",
                     (long long)lucid_size(scores, 1), (long long)k);
}

double lucid_topk_accuracy(lucid_tensor *scores, lucid_tensor *target, int64_t k)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!check_topk(scores, target, k)) return NAN;
    int64_t n = lucid_size(scores, 0), classes = lucid_size(scores, 1), right = 0;
    double *s = read(scores, "topk_accuracy"), *t = s ? read(target, "topk_accuracy") : NULL;
    bool ok = t && check_target("topk_accuracy", t, n, classes, 0);
    for (int64_t i = 0; ok && i < n; i++)
        right += rank(s + i * classes, classes, (int64_t)t[i]) < k &&
                 !isnan(s[i * classes + (int64_t)t[i]]);
    luc_free(s);
    luc_free(t);
    return ok && n ? (double)right / (double)n : NAN;
}

/* ---- the matrix ------------------------------------------------------------------------------ */

lucid_confusion *lucid_confusion_new_opt(int64_t classes, const lucid_confusion_options *options)
{
    const lucid_confusion_options *o = LUC_OPTIONS(lucid_confusion, options, LUC_CONFUSION);
    if (!o) return NULL;
    if (classes < 1 || classes > 32768)
        return luc_raise_null(LUCID_ERR_ARGUMENT, LUC_CONFUSION,
                              "classes: expected 1 to 32768, got %lld", (long long)classes);
    lucid_confusion *c = luc_calloc(1, sizeof *c, LUC_CONFUSION);
    if (c) c->counts = luc_calloc((size_t)(classes * classes), sizeof *c->counts, LUC_CONFUSION);
    if (!c || !c->counts) {
        luc_free(c);
        return NULL;
    }
    c->classes = classes;
    c->ignored = o->ignore_index;
    luc_live_add_named(LUC_LIVE_OTHER, LUC_CONFUSION, 1);
    return c;
}

void lucid_confusion_free(lucid_confusion *c)
{
    if (!c) return;
    luc_live_add_named(LUC_LIVE_OTHER, LUC_CONFUSION, -1);
    luc_free(c->counts);
    luc_free(c);
}

bool luc_check_confusion(const lucid_confusion *c)
{
    if (c) return true;
    return lucid_error_code() == LUCID_OK &&
           luc_raise(LUCID_ERR_ARGUMENT, LUC_CONFUSION, "confusion: expected one, got NULL");
}

void lucid_confusion_reset(lucid_confusion *c)
{
    if (c) memset(c->counts, 0, (size_t)(c->classes * c->classes) * sizeof *c->counts);
}

/* Classes of the same sizes as the target. */
static lucid_tensor *classes_of(const lucid_confusion *c, lucid_tensor *predicted,
                                const lucid_tensor *target)
{
    if (is_integer(predicted)) return predicted;
    if (lucid_dtype_is_floating(lucid_tensor_dtype(predicted)) && lucid_ndim(predicted) >= 2 &&
        lucid_size(predicted, 1) == c->classes)
        return lucid_argmax(predicted, 1);
    luc_raise(LUCID_ERR_ARGUMENT, LUC_CONFUSION,
              "predicted: expected classes %s, or scores with %lld classes in dimension 1, got %s "
              "%s",
              luc_shape_text(target).s, (long long)c->classes, luc_shape_text(predicted).s,
              lucid_dtype_name(lucid_tensor_dtype(predicted)));
    return NULL;
}

static bool count(lucid_confusion *c, const double *p, const double *t, int64_t n)
{
    double ignored = (double)c->ignored;
    if (!check_target(LUC_CONFUSION, t, n, c->classes, ignored)) return false;
    for (int64_t i = 0; i < n; i++)
        if (t[i] != ignored && !(p[i] >= 0 && p[i] < (double)c->classes))
            return luc_raise(LUCID_ERR_ARGUMENT, LUC_CONFUSION,
                             "predicted: expected classes from 0 to %lld, got %g at %lld",
                             (long long)c->classes - 1, p[i], (long long)i);
    for (int64_t i = 0; i < n; i++)
        if (t[i] != ignored) c->counts[(int64_t)t[i] * c->classes + (int64_t)p[i]]++;
    return true;
}

bool lucid_confusion_add(lucid_confusion *c, lucid_tensor *predicted, lucid_tensor *target)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!luc_check_confusion(c) || !luc_check_tensor(predicted, LUC_CONFUSION, "predicted") ||
        !luc_check_tensor(target, LUC_CONFUSION, "target"))
        return false;
    if (!is_integer(target))
        return luc_raise(LUCID_ERR_ARGUMENT, LUC_CONFUSION,
                         "target: expected an integer dtype, got %s",
                         lucid_dtype_name(lucid_tensor_dtype(target)));
    predicted = classes_of(c, predicted, target);
    if (!predicted) return false;
    lucid_shape a = lucid_tensor_shape(predicted), b = lucid_tensor_shape(target);
    if (!lucid_shape_equal(&a, &b))
        return luc_raise(LUCID_ERR_ARGUMENT, LUC_CONFUSION,
                         "predicted: expected classes for %s, got them for %s",
                         luc_shape_text(target).s, luc_shape_text(predicted).s);
    double *p = read(predicted, LUC_CONFUSION), *t = p ? read(target, LUC_CONFUSION) : NULL;
    bool ok = t && count(c, p, t, lucid_numel(target));
    luc_free(p);
    luc_free(t);
    return ok;
}

int64_t lucid_confusion_count(const lucid_confusion *c, int64_t actual, int64_t predicted)
{
    if (!luc_check_confusion(c)) return -1;
    if (actual >= 0 && actual < c->classes && predicted >= 0 && predicted < c->classes)
        return c->counts[actual * c->classes + predicted];
    luc_raise(LUCID_ERR_ARGUMENT, LUC_CONFUSION,
              "actual, predicted: expected classes from 0 to %lld, got %lld and %lld",
              (long long)c->classes - 1, (long long)actual, (long long)predicted);
    return -1;
}

lucid_tensor *lucid_confusion_tensor(const lucid_confusion *c)
{
    if (!luc_check_confusion(c)) return NULL;
    return lucid_from_typed_data(LUCID_SHAPE(c->classes, c->classes), c->counts, LUCID_I64, NULL);
}

/* ---- measures -------------------------------------------------------------------------------- */

luc_hits luc_confusion_hits(const lucid_confusion *c, int64_t which)
{
    luc_hits h = {.tp = (double)c->counts[which * c->classes + which]};
    for (int64_t k = 0; k < c->classes; k++) {
        if (k == which) continue;
        h.fn += (double)c->counts[which * c->classes + k];
        h.fp += (double)c->counts[k * c->classes + which];
    }
    return h;
}

double lucid_confusion_accuracy(const lucid_confusion *c)
{
    if (!luc_check_confusion(c)) return NAN;
    double right = 0, all = 0;
    for (int64_t k = 0; k < c->classes; k++) {
        luc_hits h = luc_confusion_hits(c, k);
        right += h.tp;
        all += h.tp + h.fn;
    }
    return right / all;
}

double luc_measure(luc_hits h, lucid_measure measure)
{
    double below = h.tp + h.fp + h.fn;
    if (below == 0) return NAN;
    if (measure == LUCID_PRECISION) below = h.tp + h.fp;
    if (measure == LUCID_RECALL) below = h.tp + h.fn;
    if (measure == LUCID_F1 || measure == LUCID_DICE) below += h.tp;
    double above = measure == LUCID_F1 || measure == LUCID_DICE ? 2 * h.tp : h.tp;
    return below == 0 ? 0 : above / below;
}

double lucid_confusion_measure(const lucid_confusion *c, lucid_measure measure, int64_t which)
{
    if (!luc_check_confusion(c)) return NAN;
    if (measure < LUCID_PRECISION || measure > LUCID_DICE || which < LUCID_WEIGHTED ||
        which >= c->classes) {
        luc_raise(
            LUCID_ERR_ARGUMENT, LUC_CONFUSION,
            "measure, which: expected a lucid_measure and a class from 0 to %lld, LUCID_MACRO, "
            "LUCID_MICRO or LUCID_WEIGHTED, got %d and %lld",
            (long long)c->classes - 1, (int)measure, (long long)which);
        return NAN;
    }
    if (which >= 0) return luc_measure(luc_confusion_hits(c, which), measure);
    luc_hits all = {0};
    double sum = 0, weights = 0;
    for (int64_t k = 0; k < c->classes; k++) {
        luc_hits h = luc_confusion_hits(c, k);
        double value = luc_measure(h, measure), weight = which == LUCID_MACRO ? 1 : h.tp + h.fn;
        all = (luc_hits){all.tp + h.tp, all.fp + h.fp, all.fn + h.fn};
        if (isnan(value)) continue;
        sum += weight * value;
        weights += weight;
    }
    return which == LUCID_MICRO ? luc_measure(all, measure) : sum / weights;
}

/* ---- the ROC curve --------------------------------------------------------------------------- */

typedef struct scored {
    double score;
    bool positive;
} scored;

static int by_score(const void *a, const void *b)
{
    double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x > y) - (x < y);
}

/* Pairs in which the positive one is higher, counted by ranks: equal scores share theirs. */
static double area(const scored *s, int64_t n)
{
    double positives = 0, ranks = 0;
    for (int64_t i = 0, end; i < n; i = end) {
        double here = 0;
        for (end = i; end < n && s[end].score == s[i].score; end++) here += s[end].positive;
        positives += here;
        ranks += here * (double)(i + end + 1) / 2;
    }
    double negatives = (double)n - positives;
    if (positives == 0 || negatives == 0) return NAN;
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives);
}

static bool read_scored(lucid_tensor *scores, lucid_tensor *labels, scored *s, int64_t n)
{
    double *v = read(scores, "roc_auc"), *l = v ? read(labels, "roc_auc") : NULL;
    bool ok = l != NULL;
    for (int64_t i = 0; ok && i < n; i++) {
        s[i] = (scored){v[i], l[i] == 1};
        if (isnan(v[i]))
            ok = luc_raise(LUCID_ERR_ARGUMENT, "roc_auc",
                           "scores: expected numbers, got nan at %lld", (long long)i);
        else if (l[i] != 0 && l[i] != 1)
            ok = luc_raise(LUCID_ERR_ARGUMENT, "roc_auc", "labels: expected 0 or 1, got %g at %lld",
                           l[i], (long long)i);
    }
    luc_free(v);
    luc_free(l);
    return ok;
}

double lucid_roc_auc(lucid_tensor *scores, lucid_tensor *labels)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const char *op = "roc_auc";
    if (!luc_check_tensor(scores, op, "scores") || !luc_check_tensor(labels, op, "labels"))
        return NAN;
    int64_t n = lucid_numel(scores);
    if (lucid_ndim(scores) != 1 || lucid_ndim(labels) != 1 || lucid_numel(labels) != n ||
        lucid_dtype_is_floating(lucid_tensor_dtype(labels))) {
        luc_raise(LUCID_ERR_ARGUMENT, op,
                  "scores, labels: expected [N] and [N] of an integer dtype or bool, got %s and %s "
                  "%s",
                  luc_shape_text(scores).s, luc_shape_text(labels).s,
                  lucid_dtype_name(lucid_tensor_dtype(labels)));
        return NAN;
    }
    scored *s = luc_calloc((size_t)n, sizeof *s, op);
    bool ok = s && read_scored(scores, labels, s, n);
    if (ok) qsort(s, (size_t)n, sizeof *s, by_score);
    double result = ok ? area(s, n) : NAN;
    luc_free(s);
    return result;
}
