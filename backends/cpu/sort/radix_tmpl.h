/* radix_tmpl.h: sorting elements of one kind (see simd/template.h); it is included for `narrow` and
 * for `wide` elements. LUC_T is a key with its index; KEY is the type of a key. */

#define KEY LUC_F(luc_key)

/* ---- reading and writing rows ---------------------------------------------------------------- */

/* Turns elements [from, from + n) of `rows` rows into e[row][0..n). */
static void LUC_F(load)(const luc_sort_plan *p, const row_place *at, int rows, int64_t from,
                        int64_t n, LUC_T *const *e)
{
    const int64_t chunk = LUC_SORT_CHUNK / rows;
    _Alignas(64) char packed[LUC_SORT_CHUNK * 8];
    _Alignas(64) KEY keys[LUC_SORT_CHUNK];
    for (int64_t done = 0; done < n; done += chunk) {
        const int64_t count = n - done < chunk ? n - done : chunk;
        const char *x = read_chunk(p, at, rows, from + done, count, chunk, packed);
        for (int g = 0; g < rows; g++) {
            LUC_T *to = e[g] + done;
            p->loops->keys[p->type](keys, x + (size_t)(g * chunk) * p->size, count, p->flip);
            for (int64_t i = 0; i < count; i++)
                to[i] = LUC_F(make)(keys[i], (uint64_t)(from + done + i));
        }
    }
}

/* The inverse: writes elements [from, from + n) of the order, which are in e[row][0..n). */
static void LUC_F(store)(const luc_sort_plan *p, const row_place *at, int rows, int64_t from,
                         int64_t n, LUC_T *const *e)
{
    const int64_t chunk = LUC_SORT_CHUNK / rows;
    _Alignas(64) char values[LUC_SORT_CHUNK * 8];
    _Alignas(64) int64_t indices[LUC_SORT_CHUNK];
    _Alignas(64) KEY keys[LUC_SORT_CHUNK];
    const KEY zero = (KEY)p->zero, nan = (KEY)p->nan;
    for (int64_t done = 0; done < n; done += chunk) {
        const int64_t count = n - done < chunk ? n - done : chunk;
        for (int g = 0; g < rows; g++) {
            const LUC_T *of = e[g] + done;
            char *value = values + (size_t)(g * chunk) * p->size;
            for (int64_t i = 0; i < count; i++)
                indices[g * chunk + i] = (int64_t)LUC_F(index_of)(of[i]);
            if (!p->values) continue;
            for (int64_t i = 0; i < count; i++) keys[i] = LUC_F(key_of)(of[i]);
            p->loops->values[p->type](value, keys, count, p->flip);
            for (int64_t i = 0; p->floating && i < count; i++)
                if (keys[i] == zero || keys[i] == nan)
                    memcpy(value + (size_t)i * p->size,
                           at->x + ((int64_t)LUC_F(index_of)(of[i]) * p->x_step + g * at->x_next) *
                                       (int64_t)p->size,
                           p->size);
        }
        write_chunk(p, at, rows, from + done, count, chunk, values, indices);
    }
}

/* ---- sorting --------------------------------------------------------------------------------- */

/* One pass: moves a to b by digit d; equal digits keep their order. places: where each digit
 * begins. */
static inline void LUC_F(scatter)(const LUC_T *restrict a, LUC_T *restrict b, int64_t n, int d,
                                  uint32_t *restrict places)
{
    for (int64_t i = 0; i < n; i++) {
        const LUC_T e = a[i];
        b[places[(LUC_F(key_of)(e) >> 8 * d) & 255]++] = e;
    }
}

static inline void LUC_F(count)(const LUC_T *a, int64_t n, int digits, uint32_t (*counts)[256])
{
    for (int64_t i = 0; i < n; i++) {
        const KEY key = LUC_F(key_of)(a[i]);
        for (int d = 0; d < digits; d++) counts[d][(key >> 8 * d) & 255]++;
    }
}

/* Radix sort from the last digit to the first; b is as large as a. Returns the one that holds the
 * result. */
static LUC_T *LUC_F(radix)(LUC_T *a, LUC_T *b, int64_t n, int digits)
{
    uint32_t counts[8][256];
    memset(counts, 0, (size_t)digits * sizeof *counts);
    if (digits == 1)
        LUC_F(count)(a, n, 1, counts);
    else if (digits == 2)
        LUC_F(count)(a, n, 2, counts);
    else if (digits == 4)
        LUC_F(count)(a, n, 4, counts);
    else
        LUC_F(count)(a, n, digits, counts);
    for (int d = 0; d < digits; d++) {
        if (counts[d][(LUC_F(key_of)(a[0]) >> 8 * d) & 255] == n) continue; /* all alike */
        begins_of(counts[d]);
        LUC_F(scatter)(a, b, n, d, counts[d]);
        LUC_T *sorted = b;
        b = a;
        a = sorted;
    }
    return a;
}

static LUC_T *LUC_F(sort)(const luc_sort_plan *p, LUC_T *a, LUC_T *b, int64_t n)
{
    if (n < 2) return a;
    if (n > LUC_SORT_SHORT) return LUC_F(radix)(a, b, n, p->digits);
    KEY keys[LUC_SORT_SHORT + 15] = {0};
    uint32_t rank[LUC_SORT_SHORT];
    for (int64_t i = 0; i < n; i++) keys[i] = LUC_F(key_of)(a[i]);
    p->loops->LUC_F(ranks)(rank, keys, (int)n);
    for (int64_t i = 0; i < n; i++) b[rank[i]] = a[i];
    return b;
}

/* Moves the first k of a's order, 0 < k <= n, to b; equal elements keep their order. The digits of
 * a are read from the first on, and only elements that agree with the k-th one so far are read
 * again. a is lost. */
static void LUC_F(select)(LUC_T *a, LUC_T *b, int64_t n, int64_t k, int digits)
{
    for (int d = digits - 1; d >= 0 && k < n; d--) {
        uint32_t counts[256] = {0};
        for (int64_t i = 0; i < n; i++) counts[(LUC_F(key_of)(a[i]) >> 8 * d) & 255]++;
        unsigned digit = 0;
        int64_t before = 0;
        while (before + counts[digit] < k) before += counts[digit++];
        if (counts[digit] == n) continue;
        LUC_T *to = b, *kept = a;
        for (int64_t i = 0; i < n; i++) {
            const LUC_T e = a[i];
            const unsigned its = (LUC_F(key_of)(e) >> 8 * d) & 255;
            *to = e; /* b has k places, and before < k of them are filled here */
            to += its < digit;
            *kept = e;
            kept += its == digit;
        }
        b += before;
        n = counts[digit];
        k -= before;
    }
    memcpy(b, a, (size_t)k * sizeof *a);
}

/* best[0..*held) are the first p->k (or all) of the keys so far, in order. n more keys follow;
 * `index` is the index of the first. */
static void LUC_F(least)(const luc_sort_plan *p, const KEY *keys, int64_t n, int64_t index,
                         LUC_T *best, int64_t *held)
{
    const int64_t k = p->k;
    for (int64_t i = 0; i < n; i++) {
        if (*held == k) i = p->loops->LUC_F(below)(keys, i, n, LUC_F(key_of)(best[k - 1]));
        if (i == n) return;
        int64_t at = *held < k ? (*held)++ : k - 1;
        for (; at > 0 && LUC_F(key_of)(best[at - 1]) > keys[i]; at--) best[at] = best[at - 1];
        best[at] = LUC_F(make)(keys[i], (uint64_t)(index + i));
    }
}

/* Writes the first p->k (or all) of elements [from, from + n) of each row to best[row], in
 * order. */
static void LUC_F(scan)(const luc_sort_plan *p, const row_place *at, int rows, int64_t from,
                        int64_t n, LUC_T *const *best)
{
    const int64_t chunk = LUC_SORT_CHUNK / rows;
    _Alignas(64) char packed[LUC_SORT_CHUNK * 8];
    _Alignas(64) KEY keys[LUC_SORT_CHUNK];
    int64_t held[LUC_SORT_GROUP] = {0};
    for (int64_t done = 0; done < n; done += chunk) {
        const int64_t count = n - done < chunk ? n - done : chunk;
        const char *x = read_chunk(p, at, rows, from + done, count, chunk, packed);
        for (int g = 0; g < rows; g++) {
            p->loops->keys[p->type](keys, x + (size_t)(g * chunk) * p->size, count, p->flip);
            LUC_F(least)(p, keys, count, from + done, best[g], &held[g]);
        }
    }
}

/* ---- rows, each by one thread --------------------------------------------------------------- */

/* Short rows are ranked, and each element is put in its place. */
static void LUC_F(short_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const luc_sort_plan *p = ctx;
    _Alignas(64) char packed[LUC_SORT_CHUNK * 8];
    _Alignas(64) KEY keys[LUC_SORT_CHUNK + 15] = {0};
    uint32_t rank[LUC_SORT_SHORT];
    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        row_place at;
        const int count = find_rows(p, t, &at);
        const bool joined = p->x_step == 1 && (count == 1 || at.x_next == p->n);
        const int64_t pitch = joined ? p->n : LUC_SORT_CHUNK / count;
        const char *x = at.x;
        if (!joined) x = read_chunk(p, &at, count, 0, p->n, pitch, packed);
        for (int g = 0; g < (joined ? 1 : count); g++)
            p->loops->keys[p->type](keys + g * pitch, x + (size_t)(g * pitch) * p->size,
                                    joined ? count * p->n : p->n, p->flip);
        for (int g = 0; g < count; g++) {
            char *y = p->values ? at.y + g * at.y_next * (int64_t)p->size : NULL;
            p->loops->LUC_F(ranks)(rank, keys + g * pitch, (int)p->n);
            place_ranked(p, y, at.i + g * at.i_next, x + (size_t)(g * pitch) * p->size, rank);
        }
    }
}

static void LUC_F(sort_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const luc_sort_plan *p = ctx;
    LUC_T *memory = (LUC_T *)(void *)(p->workspace + (size_t)thread * p->per_thread);
    LUC_T *rows[LUC_SORT_GROUP], *spare = memory + p->group * p->n;
    for (int g = 0; g < p->group; g++) rows[g] = memory + g * p->n;
    for (int64_t t = begin; t < end; t++) {
        row_place at;
        const int count = find_rows(p, t, &at);
        LUC_F(load)(p, &at, count, 0, p->n, rows);
        for (int g = 0; g < count; g++) {
            if (LUC_F(sort)(p, rows[g], spare, p->n) == rows[g]) continue;
            LUC_T *sorted = spare;
            spare = rows[g];
            rows[g] = sorted;
        }
        LUC_F(store)(p, &at, count, 0, p->k, rows);
    }
}

/* topk of few: the best elements so far are kept in order. */
static void LUC_F(scan_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const luc_sort_plan *p = ctx;
    LUC_T *memory = (LUC_T *)(void *)(p->workspace + (size_t)thread * p->per_thread);
    LUC_T *best[LUC_SORT_GROUP];
    for (int g = 0; g < p->group; g++) best[g] = memory + g * p->k;
    for (int64_t t = begin; t < end; t++) {
        row_place at;
        const int count = find_rows(p, t, &at);
        LUC_F(scan)(p, &at, count, 0, p->n, best);
        LUC_F(store)(p, &at, count, 0, p->k, best);
    }
}

/* topk of many: the elements are selected, and then sorted. */
static void LUC_F(select_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const luc_sort_plan *p = ctx;
    LUC_T *memory = (LUC_T *)(void *)(p->workspace + (size_t)thread * p->per_thread);
    LUC_T *rows[LUC_SORT_GROUP], *first = memory + p->group * p->n;
    for (int g = 0; g < p->group; g++) rows[g] = memory + g * p->n;
    for (int64_t t = begin; t < end; t++) {
        row_place at;
        const int count = find_rows(p, t, &at);
        LUC_F(load)(p, &at, count, 0, p->n, rows);
        for (int g = 0; g < count; g++) {
            LUC_F(select)(rows[g], first, p->n, p->k, p->digits);
            if (LUC_F(sort)(p, first, rows[g], p->k) == first)
                memcpy(rows[g], first, (size_t)p->k * sizeof *first);
        }
        LUC_F(store)(p, &at, count, 0, p->k, rows);
    }
}

/* ---- one long row, by all threads ----------------------------------------------------------- */

static void LUC_F(load_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    (void)thread;
    LUC_F(load)(r->p, &r->at, 1, begin, end - begin, &(LUC_T *){(LUC_T *)r->a + begin});
}

static void LUC_F(store_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    (void)thread;
    LUC_F(store)(r->p, &r->at, 1, begin, end - begin, &(LUC_T *){(LUC_T *)r->a + begin});
}

static void LUC_F(count_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    const LUC_T *a = r->a;
    uint32_t *counts = r->counts + begin / LONG_BLOCK * 256;
    (void)thread;
    memset(counts, 0, 256 * sizeof *counts);
    for (int64_t i = begin; i < end; i++) counts[(LUC_F(key_of)(a[i]) >> 8 * r->digit) & 255]++;
}

static void LUC_F(scatter_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    (void)thread;
    LUC_F(scatter)
    ((const LUC_T *)r->a + begin, r->b, end - begin, r->digit,
     r->counts + begin / LONG_BLOCK * 256);
}

static void LUC_F(sort_long)(const luc_sort_plan *p, int64_t row)
{
    long_row r = {.p = p};
    const size_t bytes = (size_t)p->n * sizeof(LUC_T);
    r.a = p->workspace;
    r.b = p->workspace + bytes;
    r.counts = (uint32_t *)(void *)(p->workspace + 2 * bytes);
    find_rows(p, row, &r.at);
    luc_parallel_for(p->n, LONG_BLOCK, LUC_F(load_block), &r);
    for (r.digit = 0; r.digit < p->digits; r.digit++) {
        luc_parallel_for(p->n, LONG_BLOCK, LUC_F(count_block), &r);
        if (!places_of(r.counts, p->n)) continue;
        luc_parallel_for(p->n, LONG_BLOCK, LUC_F(scatter_block), &r);
        void *sorted = r.b;
        r.b = r.a;
        r.a = sorted;
    }
    luc_parallel_for(p->k, LONG_BLOCK, LUC_F(store_block), &r);
}

/* Writes the first k of a block to its part of b. */
static void LUC_F(topk_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    const luc_sort_plan *p = r->p;
    LUC_T *to = (LUC_T *)r->b + begin / LONG_BLOCK * p->k;
    LUC_T *block = (LUC_T *)r->a + (int64_t)thread * LONG_BLOCK;
    if (p->k <= FEW) {
        LUC_F(scan)(p, &r->at, 1, begin, end - begin, &to);
        return;
    }
    LUC_F(load)(p, &r->at, 1, begin, end - begin, &block);
    LUC_F(select)(block, to, end - begin, p->k < end - begin ? p->k : end - begin, p->digits);
}

static void LUC_F(topk_long)(const luc_sort_plan *p, int64_t row)
{
    long_row r = {.p = p};
    const int64_t whole = p->n / LONG_BLOCK, rest = p->n % LONG_BLOCK;
    const int64_t n = whole * p->k + (rest < p->k ? rest : p->k);
    r.b = p->workspace;
    LUC_T *first = (LUC_T *)r.b + (whole + 1) * p->k;
    r.a = first + p->k;
    find_rows(p, row, &r.at);
    luc_parallel_for_max(p->n, LONG_BLOCK, p->threads, LUC_F(topk_block), &r);
    LUC_F(select)(r.b, first, n, p->k, p->digits);
    first = LUC_F(sort)(p, first, r.b, p->k);
    LUC_F(store)(p, &r.at, 1, 0, p->k, &first);
}

#undef KEY
