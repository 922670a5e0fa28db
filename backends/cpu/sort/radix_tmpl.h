/* radix_tmpl.h: sorting elements of one kind; it is included once for narrow and once for wide
 * elements. LUC_KEY is the type of a key, LUC_ELEM a key with its index, LUC_S(name) the name for
 * this kind. LUC_MAKE(key, index), LUC_KEY_OF(e) and LUC_INDEX_OF(e) convert between them. */

/* ---- reading and writing rows ---------------------------------------------------------------- */

/* Turns elements [from, from + n) of `rows` rows into e[row][0..n). */
static void LUC_S(load)(const luc_sort_plan *p, const row_place *at, int rows, int64_t from,
                        int64_t n, LUC_ELEM *const *e)
{
    const int64_t chunk = LUC_SORT_CHUNK / rows;
    _Alignas(64) char packed[LUC_SORT_CHUNK * 8];
    _Alignas(64) LUC_KEY keys[LUC_SORT_CHUNK];
    for (int64_t done = 0; done < n; done += chunk) {
        const int64_t count = n - done < chunk ? n - done : chunk;
        const char *x = read_chunk(p, at, rows, from + done, count, chunk, packed);
        for (int g = 0; g < rows; g++) {
            LUC_ELEM *to = e[g] + done;
            p->loops->keys[p->type](keys, x + (size_t)(g * chunk) * p->size, count, p->flip);
            for (int64_t i = 0; i < count; i++)
                to[i] = LUC_MAKE(keys[i], (uint64_t)(from + done + i));
        }
    }
}

/* The inverse: writes elements [from, from + n) of the order, which are in e[row][0..n). */
static void LUC_S(store)(const luc_sort_plan *p, const row_place *at, int rows, int64_t from,
                         int64_t n, LUC_ELEM *const *e)
{
    const int64_t chunk = LUC_SORT_CHUNK / rows;
    _Alignas(64) char values[LUC_SORT_CHUNK * 8];
    _Alignas(64) int64_t indices[LUC_SORT_CHUNK];
    _Alignas(64) LUC_KEY keys[LUC_SORT_CHUNK];
    const LUC_KEY zero = (LUC_KEY)p->zero, nan = (LUC_KEY)p->nan;
    for (int64_t done = 0; done < n; done += chunk) {
        const int64_t count = n - done < chunk ? n - done : chunk;
        for (int g = 0; g < rows; g++) {
            const LUC_ELEM *of = e[g] + done;
            char *value = values + (size_t)(g * chunk) * p->size;
            for (int64_t i = 0; i < count; i++)
                indices[g * chunk + i] = (int64_t)LUC_INDEX_OF(of[i]);
            if (!p->values) continue;
            for (int64_t i = 0; i < count; i++) keys[i] = LUC_KEY_OF(of[i]);
            p->loops->values[p->type](value, keys, count, p->flip);
            for (int64_t i = 0; p->floating && i < count; i++)
                if (keys[i] == zero || keys[i] == nan)
                    memcpy(value + (size_t)i * p->size,
                           at->x + ((int64_t)LUC_INDEX_OF(of[i]) * p->x_step + g * at->x_next) *
                                       (int64_t)p->size,
                           p->size);
        }
        write_chunk(p, at, rows, from + done, count, chunk, values, indices);
    }
}

/* ---- sorting --------------------------------------------------------------------------------- */

/* One pass: moves a to b by digit d; equal digits keep their order. places: where each digit
 * begins. */
static inline void LUC_S(scatter)(const LUC_ELEM *restrict a, LUC_ELEM *restrict b, int64_t n,
                                  int d, uint32_t *restrict places)
{
    for (int64_t i = 0; i < n; i++) {
        const LUC_ELEM e = a[i];
        b[places[(LUC_KEY_OF(e) >> 8 * d) & 255]++] = e;
    }
}

static inline void LUC_S(count)(const LUC_ELEM *a, int64_t n, int digits, uint32_t (*counts)[256])
{
    for (int64_t i = 0; i < n; i++) {
        const LUC_KEY key = LUC_KEY_OF(a[i]);
        for (int d = 0; d < digits; d++) counts[d][(key >> 8 * d) & 255]++;
    }
}

/* Radix sort from the last digit to the first; b is as large as a. Returns the one that holds the
 * result. */
static LUC_ELEM *LUC_S(radix)(LUC_ELEM *a, LUC_ELEM *b, int64_t n, int digits)
{
    uint32_t counts[8][256];
    memset(counts, 0, (size_t)digits * sizeof *counts);
    if (digits == 1)
        LUC_S(count)(a, n, 1, counts);
    else if (digits == 2)
        LUC_S(count)(a, n, 2, counts);
    else if (digits == 4)
        LUC_S(count)(a, n, 4, counts);
    else
        LUC_S(count)(a, n, digits, counts);
    for (int d = 0; d < digits; d++) {
        if (counts[d][(LUC_KEY_OF(a[0]) >> 8 * d) & 255] == n) continue; /* all alike */
        begins_of(counts[d]);
        LUC_S(scatter)(a, b, n, d, counts[d]);
        LUC_ELEM *sorted = b;
        b = a;
        a = sorted;
    }
    return a;
}

static LUC_ELEM *LUC_S(sort)(const luc_sort_plan *p, LUC_ELEM *a, LUC_ELEM *b, int64_t n)
{
    if (n < 2) return a;
    if (n > LUC_SORT_SHORT) return LUC_S(radix)(a, b, n, p->digits);
    LUC_KEY keys[LUC_SORT_SHORT + 15] = {0};
    uint32_t rank[LUC_SORT_SHORT];
    for (int64_t i = 0; i < n; i++) keys[i] = LUC_KEY_OF(a[i]);
    p->loops->LUC_RANKS(rank, keys, (int)n);
    for (int64_t i = 0; i < n; i++) b[rank[i]] = a[i];
    return b;
}

/* Moves the first k of a's order, 0 < k <= n, to b; equal elements keep their order. The digits of
 * a are read from the first on, and only elements that agree with the k-th one so far are read
 * again. a is lost. */
static void LUC_S(select)(LUC_ELEM *a, LUC_ELEM *b, int64_t n, int64_t k, int digits)
{
    for (int d = digits - 1; d >= 0 && k < n; d--) {
        uint32_t counts[256] = {0};
        for (int64_t i = 0; i < n; i++) counts[(LUC_KEY_OF(a[i]) >> 8 * d) & 255]++;
        unsigned digit = 0;
        int64_t before = 0;
        while (before + counts[digit] < k) before += counts[digit++];
        if (counts[digit] == n) continue;
        LUC_ELEM *to = b, *kept = a;
        for (int64_t i = 0; i < n; i++) {
            const LUC_ELEM e = a[i];
            const unsigned its = (LUC_KEY_OF(e) >> 8 * d) & 255;
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
static void LUC_S(least)(const luc_sort_plan *p, const LUC_KEY *keys, int64_t n, int64_t index,
                         LUC_ELEM *best, int64_t *held)
{
    const int64_t k = p->k;
    for (int64_t i = 0; i < n; i++) {
        if (*held == k) i = p->loops->LUC_BELOW(keys, i, n, LUC_KEY_OF(best[k - 1]));
        if (i == n) return;
        int64_t at = *held < k ? (*held)++ : k - 1;
        for (; at > 0 && LUC_KEY_OF(best[at - 1]) > keys[i]; at--) best[at] = best[at - 1];
        best[at] = LUC_MAKE(keys[i], (uint64_t)(index + i));
    }
}

/* Writes the first p->k (or all) of elements [from, from + n) of each row to best[row], in
 * order. */
static void LUC_S(scan)(const luc_sort_plan *p, const row_place *at, int rows, int64_t from,
                        int64_t n, LUC_ELEM *const *best)
{
    const int64_t chunk = LUC_SORT_CHUNK / rows;
    _Alignas(64) char packed[LUC_SORT_CHUNK * 8];
    _Alignas(64) LUC_KEY keys[LUC_SORT_CHUNK];
    int64_t held[LUC_SORT_GROUP] = {0};
    for (int64_t done = 0; done < n; done += chunk) {
        const int64_t count = n - done < chunk ? n - done : chunk;
        const char *x = read_chunk(p, at, rows, from + done, count, chunk, packed);
        for (int g = 0; g < rows; g++) {
            p->loops->keys[p->type](keys, x + (size_t)(g * chunk) * p->size, count, p->flip);
            LUC_S(least)(p, keys, count, from + done, best[g], &held[g]);
        }
    }
}

/* ---- rows, each by one thread --------------------------------------------------------------- */

/* Short rows are ranked, and each element is put in its place. */
static void LUC_S(short_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const luc_sort_plan *p = ctx;
    _Alignas(64) char packed[LUC_SORT_CHUNK * 8];
    _Alignas(64) LUC_KEY keys[LUC_SORT_CHUNK + 15] = {0};
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
            p->loops->LUC_RANKS(rank, keys + g * pitch, (int)p->n);
            place_ranked(p, y, at.i + g * at.i_next, x + (size_t)(g * pitch) * p->size, rank);
        }
    }
}

static void LUC_S(sort_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const luc_sort_plan *p = ctx;
    LUC_ELEM *memory = (LUC_ELEM *)(void *)(p->workspace + (size_t)thread * p->per_thread);
    LUC_ELEM *rows[LUC_SORT_GROUP], *spare = memory + p->group * p->n;
    for (int g = 0; g < p->group; g++) rows[g] = memory + g * p->n;
    for (int64_t t = begin; t < end; t++) {
        row_place at;
        const int count = find_rows(p, t, &at);
        LUC_S(load)(p, &at, count, 0, p->n, rows);
        for (int g = 0; g < count; g++) {
            if (LUC_S(sort)(p, rows[g], spare, p->n) == rows[g]) continue;
            LUC_ELEM *sorted = spare;
            spare = rows[g];
            rows[g] = sorted;
        }
        LUC_S(store)(p, &at, count, 0, p->k, rows);
    }
}

/* topk of few: the best elements so far are kept in order. */
static void LUC_S(scan_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const luc_sort_plan *p = ctx;
    LUC_ELEM *memory = (LUC_ELEM *)(void *)(p->workspace + (size_t)thread * p->per_thread);
    LUC_ELEM *best[LUC_SORT_GROUP];
    for (int g = 0; g < p->group; g++) best[g] = memory + g * p->k;
    for (int64_t t = begin; t < end; t++) {
        row_place at;
        const int count = find_rows(p, t, &at);
        LUC_S(scan)(p, &at, count, 0, p->n, best);
        LUC_S(store)(p, &at, count, 0, p->k, best);
    }
}

/* topk of many: the elements are selected, and then sorted. */
static void LUC_S(select_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const luc_sort_plan *p = ctx;
    LUC_ELEM *memory = (LUC_ELEM *)(void *)(p->workspace + (size_t)thread * p->per_thread);
    LUC_ELEM *rows[LUC_SORT_GROUP], *first = memory + p->group * p->n;
    for (int g = 0; g < p->group; g++) rows[g] = memory + g * p->n;
    for (int64_t t = begin; t < end; t++) {
        row_place at;
        const int count = find_rows(p, t, &at);
        LUC_S(load)(p, &at, count, 0, p->n, rows);
        for (int g = 0; g < count; g++) {
            LUC_S(select)(rows[g], first, p->n, p->k, p->digits);
            if (LUC_S(sort)(p, first, rows[g], p->k) == first)
                memcpy(rows[g], first, (size_t)p->k * sizeof *first);
        }
        LUC_S(store)(p, &at, count, 0, p->k, rows);
    }
}

/* ---- one long row, by all threads ----------------------------------------------------------- */

static void LUC_S(load_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    (void)thread;
    LUC_S(load)(r->p, &r->at, 1, begin, end - begin, &(LUC_ELEM *){(LUC_ELEM *)r->a + begin});
}

static void LUC_S(store_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    (void)thread;
    LUC_S(store)(r->p, &r->at, 1, begin, end - begin, &(LUC_ELEM *){(LUC_ELEM *)r->a + begin});
}

static void LUC_S(count_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    const LUC_ELEM *a = r->a;
    uint32_t *counts = r->counts + begin / LONG_BLOCK * 256;
    (void)thread;
    memset(counts, 0, 256 * sizeof *counts);
    for (int64_t i = begin; i < end; i++) counts[(LUC_KEY_OF(a[i]) >> 8 * r->digit) & 255]++;
}

static void LUC_S(scatter_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    (void)thread;
    LUC_S(scatter)
    ((const LUC_ELEM *)r->a + begin, r->b, end - begin, r->digit,
     r->counts + begin / LONG_BLOCK * 256);
}

static void LUC_S(sort_long)(const luc_sort_plan *p, int64_t row)
{
    long_row r = {.p = p};
    const size_t bytes = (size_t)p->n * sizeof(LUC_ELEM);
    r.a = p->workspace;
    r.b = p->workspace + bytes;
    r.counts = (uint32_t *)(void *)(p->workspace + 2 * bytes);
    find_rows(p, row, &r.at);
    luc_parallel_for(p->n, LONG_BLOCK, LUC_S(load_block), &r);
    for (r.digit = 0; r.digit < p->digits; r.digit++) {
        luc_parallel_for(p->n, LONG_BLOCK, LUC_S(count_block), &r);
        if (!places_of(r.counts, p->n)) continue;
        luc_parallel_for(p->n, LONG_BLOCK, LUC_S(scatter_block), &r);
        void *sorted = r.b;
        r.b = r.a;
        r.a = sorted;
    }
    luc_parallel_for(p->k, LONG_BLOCK, LUC_S(store_block), &r);
}

/* Writes the first k of a block to its part of b. */
static void LUC_S(topk_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const long_row *r = ctx;
    const luc_sort_plan *p = r->p;
    LUC_ELEM *to = (LUC_ELEM *)r->b + begin / LONG_BLOCK * p->k;
    LUC_ELEM *block = (LUC_ELEM *)r->a + (int64_t)thread * LONG_BLOCK;
    if (p->k <= FEW) {
        LUC_S(scan)(p, &r->at, 1, begin, end - begin, &to);
        return;
    }
    LUC_S(load)(p, &r->at, 1, begin, end - begin, &block);
    LUC_S(select)(block, to, end - begin, p->k < end - begin ? p->k : end - begin, p->digits);
}

static void LUC_S(topk_long)(const luc_sort_plan *p, int64_t row)
{
    long_row r = {.p = p};
    const int64_t whole = p->n / LONG_BLOCK, rest = p->n % LONG_BLOCK;
    const int64_t n = whole * p->k + (rest < p->k ? rest : p->k);
    r.b = p->workspace;
    LUC_ELEM *first = (LUC_ELEM *)r.b + (whole + 1) * p->k;
    r.a = first + p->k;
    find_rows(p, row, &r.at);
    luc_parallel_for_max(p->n, LONG_BLOCK, p->threads, LUC_S(topk_block), &r);
    LUC_S(select)(r.b, first, n, p->k, p->digits);
    first = LUC_S(sort)(p, first, r.b, p->k);
    LUC_S(store)(p, &r.at, 1, 0, p->k, &first);
}
