/* subset.c: parts of data sets, random splits, and several data sets in one. */
#include "lucid/data/subset.h"

#include "lucid/data/dataset_priv.h"
#include "lucid/data/sampler_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* ---- a data set that several parts share ----------------------------------------------------- */

typedef struct shared {
    atomic_int refs;
    lucid_dataset *dataset; /* owned */
} shared;

/* Takes the data set over, also where it fails: then it is freed. */
static shared *share(lucid_dataset *dataset, const char *op)
{
    shared *s = luc_alloc(sizeof *s, op);
    if (!s) {
        lucid_dataset_free(dataset);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    s->dataset = dataset;
    return s;
}

static void unshare(shared *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1) return;
    lucid_dataset_free(s->dataset);
    luc_free(s);
}

/* ---- parts ----------------------------------------------------------------------------------- */

typedef struct subset {
    lucid_dataset base;
    shared *of;
    int64_t *indices;
} subset;

static bool subset_get(const lucid_dataset *dataset, int64_t index, lucid_generator *rng, void *x,
                       void *y)
{
    const subset *s = (const subset *)dataset;
    return luc_dataset_get(s->of->dataset, s->indices[index], rng, x, y);
}

static lucid_tensor *subset_load(const lucid_dataset *dataset, int64_t index, lucid_generator *rng,
                                 void *y)
{
    const subset *s = (const subset *)dataset;
    return luc_dataset_load(s->of->dataset, s->indices[index], rng, y);
}

static int64_t subset_label(const lucid_dataset *dataset, int64_t index)
{
    const subset *s = (const subset *)dataset;
    return s->of->dataset->label(s->of->dataset, s->indices[index]);
}

static void subset_free(lucid_dataset *dataset)
{
    subset *s = (subset *)dataset;
    unshare(s->of);
    luc_free(s->indices);
    luc_dataset_delete(s);
}

/* Takes a reference of `of`. */
static subset *subset_new(shared *of, const int64_t *indices, int64_t n, const char *op)
{
    const lucid_dataset *d = of->dataset;
    subset *s = luc_dataset_new(sizeof *s, op);
    if (!s) return NULL;
    s->base = (lucid_dataset){.name = op,
                              .size = n,
                              .x = d->x,
                              .y = d->y,
                              .get = d->get ? subset_get : NULL,
                              .load = d->load ? subset_load : NULL,
                              .label = d->label ? subset_label : NULL,
                              .classes = d->classes,
                              .n_classes = d->n_classes,
                              .free = subset_free};
    atomic_fetch_add(&of->refs, 1);
    s->of = of;
    s->indices = luc_calloc((size_t)n, sizeof *indices, op);
    if (s->indices) {
        if (n) memcpy(s->indices, indices, (size_t)n * sizeof *indices);
        return s;
    }
    subset_free(&s->base);
    return NULL;
}

static bool check_indices(const lucid_dataset *d, const int64_t *indices, int64_t n, const char *op)
{
    if (!luc_dataset_check(d, "dataset", op)) return false;
    if (n < 0 || (n && !indices))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "indices: expected n >= 0 of them, got %lld%s",
                         (long long)n, indices ? "" : " and NULL");
    for (int64_t i = 0; i < n; i++)
        if (indices[i] < 0 || indices[i] >= d->size)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "indices: expected samples in [0,%lld), got %lld at %lld",
                             (long long)d->size, (long long)indices[i], (long long)i);
    return true;
}

lucid_dataset *lucid_data_subset(lucid_dataset *dataset, const int64_t *indices, int64_t n)
{
    static const char op[] = "data_Subset";
    if (!check_indices(dataset, indices, n, op)) {
        lucid_dataset_free(dataset);
        return NULL;
    }
    shared *of = share(dataset, op);
    subset *s = of ? subset_new(of, indices, n, op) : NULL;
    unshare(of);
    return s ? &s->base : NULL;
}

/* ---- random splits --------------------------------------------------------------------------- */

/* How many samples each part has. */
static bool lengths_of(const double *parts, int64_t n, int64_t size, int64_t *lengths,
                       const char *op)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(parts[i] >= 0) || !isfinite(parts[i]))
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "parts: expected lengths or fractions >= 0, got %g", parts[i]);
        sum += parts[i];
    }
    const bool fractions = fabs(sum - 1) < 1e-9;
    int64_t given = 0;
    for (int64_t i = 0; i < n; i++) {
        double length = fractions ? floor(parts[i] * (double)size) : parts[i];
        if (length != floor(length) || length > (double)size)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "parts: expected lengths whose sum is %lld, or fractions whose sum is "
                             "1; got %g, and the sum %g",
                             (long long)size, parts[i], sum);
        given += lengths[i] = (int64_t)length;
    }
    for (int64_t i = 0; fractions && given < size; i++, given++) lengths[i % n]++;
    return given == size ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "parts: expected lengths whose sum is %lld, got %lld",
                     (long long)size, (long long)given);
}

typedef struct labelled {
    int64_t label, index;
} labelled;

static int by_label(const void *a, const void *b)
{
    const labelled *p = a, *q = b;
    return p->label < q->label ? -1 : p->label > q->label;
}

/* Puts the samples, in a random order, one class after the other. */
static bool sort_by_class(const lucid_dataset *d, int64_t *order, const char *op)
{
    const int64_t n = d->size;
    labelled *list = luc_calloc((size_t)n, 2 * sizeof *list, op);
    labelled *sorted = list ? list + n : NULL;
    bool ok = list != NULL;
    int64_t most = 0;
    for (int64_t i = 0; ok && i < n; i++) {
        int64_t label = d->label(d, order[i]);
        ok = label >= 0 || luc_raise(LUCID_ERR_ARGUMENT, op,
                                     "dataset: expected a class >= 0 for sample %lld, got %lld",
                                     (long long)order[i], (long long)label);
        list[i] = (labelled){label, order[i]};
        if (label > most) most = label;
    }
    if (ok && n) {
        /* A stable sort: within a class the order stays random, on every system the same. */
        for (int64_t width = 1; width < n; width *= 2) {
            for (int64_t at = 0; at < n; at += 2 * width) {
                int64_t a = at, b = at + width < n ? at + width : n, mid = b;
                int64_t end = at + 2 * width < n ? at + 2 * width : n;
                for (int64_t k = at; k < end; k++)
                    sorted[k] = b >= end || (a < mid && by_label(&list[a], &list[b]) <= 0)
                                    ? list[a++]
                                    : list[b++];
            }
            memcpy(list, sorted, (size_t)n * sizeof *list);
        }
        for (int64_t i = 0; i < n; i++) order[i] = list[i].index;
    }
    luc_free(list);
    return ok;
}

/* Deals samples out in their order: each goes to the part that lacks most of its share so far. In
 * any run of samples, as those of a class are, each part gets its share within one or so. */
static bool deal(int64_t *order, int64_t size, const int64_t *lengths, int64_t n,
                 lucid_generator *rng, const char *op)
{
    int64_t *dealt = luc_calloc((size_t)size, sizeof *dealt, op);
    int64_t *counts = luc_calloc((size_t)n, 2 * sizeof *counts, op);
    int64_t *begins = counts ? counts + n : NULL;
    const bool ok = dealt && counts;
    for (int64_t i = 1; ok && i < n; i++) begins[i] = begins[i - 1] + lengths[i - 1];
    for (int64_t k = 0; ok && k < size; k++) {
        int64_t to = -1;
        double most = 0;
        for (int64_t i = 0; i < n; i++) {
            double lacks = (double)lengths[i] * (double)(k + 1) / (double)size - (double)counts[i];
            if (counts[i] < lengths[i] && (to < 0 || lacks > most)) to = i, most = lacks;
        }
        dealt[begins[to] + counts[to]++] = order[k];
    }
    if (ok && size) memcpy(order, dealt, (size_t)size * sizeof *order);
    for (int64_t i = 0; ok && i < n; i++) luc_shuffle(order + begins[i], lengths[i], rng);
    luc_free(dealt);
    luc_free(counts);
    return ok;
}

/* The samples, part after part. NULL after an error. */
static int64_t *split_order(const lucid_dataset *d, const int64_t *lengths, int64_t n,
                            const lucid_random_split_options *options, const char *op)
{
    lucid_generator rng = {.seed = options->seed};
    int64_t *order = luc_calloc((size_t)d->size, sizeof *order, op);
    if (!order) return NULL;
    for (int64_t i = 0; i < d->size; i++) order[i] = i;
    luc_shuffle(order, d->size, &rng);
    if (!options->stratify ||
        (sort_by_class(d, order, op) && deal(order, d->size, lengths, n, &rng, op)))
        return order;
    luc_free(order);
    return NULL;
}

static bool check_split(const lucid_dataset *d, const double *parts, int64_t n,
                        const lucid_random_split_options *options, const char *op)
{
    if (!luc_dataset_check(d, "dataset", op)) return false;
    if (!parts || n < 1 || n > 1 << 20)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "parts: expected 1 to %d, got %lld%s", 1 << 20,
                         (long long)n, parts ? "" : " and NULL");
    return !options->stratify || d->label ||
           luc_raise(LUCID_ERR_ARGUMENT, op,
                     "stratify: expected a data set with classes; the .label of %s is NULL",
                     d->name ? d->name : "(no name)");
}

bool lucid_data_random_split(lucid_dataset *dataset, const double *parts, int64_t n,
                             lucid_dataset **out, const lucid_random_split_options *options)
{
    static const char op[] = "data_random_split";
    shared *of = NULL;
    int64_t *lengths = NULL, *order = NULL, made = 0;
    options = LUC_OPTIONS(lucid_random_split, options, op);
    if (!out) luc_raise(LUCID_ERR_ARGUMENT, op, "out: expected room for the parts, got NULL");
    for (int64_t i = 0; out && i < n && n <= 1 << 20; i++) out[i] = NULL;
    if (!out || !options || !check_split(dataset, parts, n, options, op)) goto end;
    lengths = luc_calloc((size_t)n, sizeof *lengths, op);
    if (!lengths || !lengths_of(parts, n, dataset->size, lengths, op)) goto end;
    order = split_order(dataset, lengths, n, options, op);
    if (!order) goto end;
    of = share(dataset, op);
    dataset = NULL;
    for (int64_t at = 0; of && made < n; at += lengths[made++]) {
        subset *s = subset_new(of, order + at, lengths[made], op);
        if (!s) break;
        out[made] = &s->base;
    }
end:
    if (out && made < n)
        while (made > 0) {
            lucid_dataset_free(out[--made]);
            out[made] = NULL;
        }
    unshare(of);
    lucid_dataset_free(dataset);
    luc_free(lengths);
    luc_free(order);
    return made > 0 && made == n;
}

/* ---- several in one -------------------------------------------------------------------------- */

typedef struct concat {
    lucid_dataset base;
    int64_t n;
    lucid_dataset **sets; /* owned */
    int64_t *ends;        /* how many samples the sets have up to and with each */
} concat;

/* The set that has sample *index, which becomes its index there. */
static const lucid_dataset *find(const lucid_dataset *dataset, int64_t *index)
{
    const concat *c = (const concat *)dataset;
    int64_t low = 0, high = c->n - 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (*index < c->ends[middle])
            high = middle;
        else
            low = middle + 1;
    }
    if (low) *index -= c->ends[low - 1];
    return c->sets[low];
}

static bool concat_get(const lucid_dataset *dataset, int64_t index, lucid_generator *rng, void *x,
                       void *y)
{
    const lucid_dataset *d = find(dataset, &index);
    return luc_dataset_get(d, index, rng, x, y);
}

static lucid_tensor *concat_load(const lucid_dataset *dataset, int64_t index, lucid_generator *rng,
                                 void *y)
{
    const lucid_dataset *d = find(dataset, &index);
    return luc_dataset_load(d, index, rng, y);
}

static int64_t concat_label(const lucid_dataset *dataset, int64_t index)
{
    const lucid_dataset *d = find(dataset, &index);
    return d->label(d, index);
}

static void concat_free(lucid_dataset *dataset)
{
    concat *c = (concat *)dataset;
    for (int64_t i = 0; c->sets && i < c->n; i++) lucid_dataset_free(c->sets[i]);
    luc_free(c->sets);
    luc_free(c->ends);
    luc_dataset_delete(c);
}

static bool is_same_spec(const lucid_sample_spec *a, const lucid_sample_spec *b)
{
    if (a->dtype != b->dtype || a->shape.ndim != b->shape.ndim) return false;
    for (int d = 0; d < a->shape.ndim; d++)
        if (a->shape.dims[d] != b->shape.dims[d]) return false;
    return true;
}

static bool check_sets(lucid_dataset *const *sets, int64_t n, const char *op)
{
    int64_t size = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!luc_dataset_check(sets[i], "datasets", op)) return false;
        for (int64_t k = 0; k < i && n < 1000; k++)
            if (sets[k] == sets[i])
                return luc_raise(LUCID_ERR_ARGUMENT, op,
                                 "datasets: expected different ones, number %lld is number %lld "
                                 "again",
                                 (long long)i, (long long)k);
        if (!is_same_spec(&sets[i]->x, &sets[0]->x) || !is_same_spec(&sets[i]->y, &sets[0]->y))
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "datasets: expected samples as those of the first, %s %s; number "
                             "%lld has %s %s, or another y",
                             lucid_dtype_name(sets[0]->x.dtype),
                             luc_dims_text(sets[0]->x.shape.ndim, sets[0]->x.shape.dims).s,
                             (long long)i, lucid_dtype_name(sets[i]->x.dtype),
                             luc_dims_text(sets[i]->x.shape.ndim, sets[i]->x.shape.dims).s);
        if (__builtin_add_overflow(size, sets[i]->size, &size))
            return luc_raise(LUCID_ERR_ARGUMENT, op, "datasets: too many samples in all");
    }
    return true;
}

lucid_dataset *lucid_data_concat(lucid_dataset *const *datasets, int64_t n)
{
    static const char op[] = "data_Concat";
    concat *c = NULL;
    if (!datasets || n < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "datasets: expected one at least, got %lld%s",
                              (long long)n, datasets ? "" : " and NULL");
    bool get = true, label = true;
    int64_t most = 0; /* the set that knows most classes */
    if (!check_sets(datasets, n, op)) goto fail;
    c = luc_dataset_new(sizeof *c, op);
    if (!c) goto fail;
    c->ends = luc_calloc((size_t)n, sizeof *c->ends, op);
    c->sets = c->ends ? luc_calloc((size_t)n, sizeof *c->sets, op) : NULL;
    if (!c->sets) goto fail;
    c->n = n;
    for (int64_t i = 0; i < n; i++) {
        c->sets[i] = datasets[i];
        c->ends[i] = (i ? c->ends[i - 1] : 0) + datasets[i]->size;
        get = get && datasets[i]->get;
        label = label && datasets[i]->label;
        if (datasets[i]->n_classes > datasets[most]->n_classes) most = i;
    }
    c->base = (lucid_dataset){.name = op,
                              .size = c->ends[n - 1],
                              .x = datasets[0]->x,
                              .y = datasets[0]->y,
                              .get = get ? concat_get : NULL,
                              .load = get ? NULL : concat_load,
                              .label = label ? concat_label : NULL,
                              .classes = datasets[most]->classes,
                              .n_classes = datasets[most]->n_classes,
                              .free = concat_free};
    return &c->base;
fail:
    if (c) concat_free(&c->base);
    for (int64_t i = 0; i < n; i++) {
        bool again = false;
        for (int64_t k = 0; k < i && n < 1000; k++) again = again || datasets[k] == datasets[i];
        if (!again) lucid_dataset_free(datasets[i]);
    }
    return NULL;
}
