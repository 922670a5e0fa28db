/* pickle.c: the machine of pickles: a stack, marks on it, and a memo. */
#include "lucid/io/pickle_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/io/zip_priv.h"

#include <string.h>

/* ---- memory ---------------------------------------------------------------------------------- */

enum { BLOCK = 16 * 1024 };

typedef struct luc_arena_block {
    struct luc_arena_block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
} luc_arena_block;

void *luc_arena_alloc(luc_arena *a, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    luc_arena_block *b = a->blocks;
    if (!b || b->size - b->used < size) {
        const size_t room = size > BLOCK ? size : BLOCK;
        b = luc_alloc(sizeof *b + room, a->op);
        if (!b) return NULL;
        *b = (luc_arena_block){.size = room};
        /* The block that is being filled stays the first one. */
        if (size > BLOCK && a->blocks) {
            b->next = a->blocks->next;
            a->blocks->next = b;
        } else {
            b->next = a->blocks;
            a->blocks = b;
        }
    }
    void *p = b->bytes + b->used;
    b->used += size;
    return p;
}

void luc_arena_free(luc_arena *a)
{
    for (luc_arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        luc_free(b);
    }
    a->blocks = NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

luc_pickle_value *luc_pickle_damaged(const luc_pickle *p, const char *what)
{
    return luc_raise_null(LUCID_ERR_FORMAT, p->op, "%s: its pickle is damaged: %s", p->path, what);
}

luc_pickle_value *luc_pickle_new(luc_pickle *p, luc_pickle_kind kind)
{
    luc_pickle_value *v = luc_arena_alloc(p->arena, sizeof *v);
    if (v) *v = (luc_pickle_value){.kind = kind};
    return v;
}

/* An array of pointers with room for one more. The old one stays in the arena, so all together are
 * at most twice the last. */
static bool make_room(luc_pickle *p, luc_pickle_value ***items, size_t n, size_t *capacity)
{
    if (n < *capacity) return true;
    const size_t more = *capacity ? 2 * *capacity : 4;
    luc_pickle_value **room = luc_arena_alloc(p->arena, more * sizeof *room);
    if (!room) return false;
    if (n) memcpy(room, *items, n * sizeof *room);
    *items = room;
    *capacity = more;
    return true;
}

bool luc_pickle_append(luc_pickle *p, luc_pickle_value *list, luc_pickle_value *item)
{
    if (!make_room(p, &list->list.items, list->list.n, &list->list.capacity)) return false;
    list->list.items[list->list.n++] = item;
    return true;
}

bool luc_pickle_is_text(const luc_pickle_value *v, const char *text)
{
    return v->kind == LUC_PICKLE_TEXT && v->text.length == strlen(text) &&
           memcmp(v->text.s, text, v->text.length) == 0;
}

luc_pickle_value *luc_pickle_get(const luc_pickle_value *dict, const char *key)
{
    if (!dict || dict->kind != LUC_PICKLE_DICT) return NULL;
    for (size_t i = dict->list.n; i >= 2; i -= 2)
        if (luc_pickle_is_text(dict->list.items[i - 2], key)) return dict->list.items[i - 1];
    return NULL;
}

/* ---- the machine ----------------------------------------------------------------------------- */

typedef struct machine {
    luc_pickle *p;
    const unsigned char *at, *end;
    size_t size;              /* of all */
    luc_pickle_value **stack; /* the three arrays are the arena's */
    size_t depth, stack_room;
    size_t *marks;
    size_t n_marks, marks_room;
    luc_pickle_value **memo;
    size_t n_memo, memo_room;
    size_t memorized; /* how often MEMOIZE came */
} machine;

static bool damaged(const machine *m, const char *what)
{
    luc_pickle_damaged(m->p, what);
    return false;
}

static bool push(machine *m, luc_pickle_value *v)
{
    if (!v || !make_room(m->p, &m->stack, m->depth, &m->stack_room)) return false;
    m->stack[m->depth++] = v;
    return true;
}

/* The depth at which the values of the innermost mark begin; 0 without one. */
static size_t floor_of(const machine *m)
{
    return m->n_marks ? m->marks[m->n_marks - 1] : 0;
}

/* NULL, with an error raised, where nothing is on the stack above the mark. */
static luc_pickle_value *pop(machine *m)
{
    if (m->depth > floor_of(m)) return m->stack[--m->depth];
    return luc_pickle_damaged(m->p, "it takes a value that is not there");
}

static luc_pickle_value *top(machine *m)
{
    if (m->depth > floor_of(m)) return m->stack[m->depth - 1];
    return luc_pickle_damaged(m->p, "it takes a value that is not there");
}

static bool mark(machine *m)
{
    if (m->n_marks == m->marks_room) {
        const size_t more = m->marks_room ? 2 * m->marks_room : 8;
        size_t *room = luc_arena_alloc(m->p->arena, more * sizeof *room);
        if (!room) return false;
        if (m->n_marks) memcpy(room, m->marks, m->n_marks * sizeof *room);
        m->marks = room;
        m->marks_room = more;
    }
    m->marks[m->n_marks++] = m->depth;
    return true;
}

/* Takes the innermost mark away: the values from *begin on were above it. */
static bool unmark(machine *m, size_t *begin)
{
    if (!m->n_marks) return damaged(m, "it takes a mark that is not there");
    *begin = m->marks[--m->n_marks];
    return true;
}

static bool take(machine *m, size_t size, const unsigned char **bytes)
{
    if ((size_t)(m->end - m->at) < size) return damaged(m, "it is cut off");
    *bytes = m->at;
    m->at += size;
    return true;
}

static bool take_number(machine *m, int bytes, uint64_t *number)
{
    const unsigned char *p;
    if (!take(m, (size_t)bytes, &p)) return false;
    *number = luc_little(p, bytes);
    return true;
}

/* ---- instructions that push ------------------------------------------------------------------ */

static bool push_integer(machine *m, luc_pickle_kind kind, int64_t number)
{
    luc_pickle_value *v = luc_pickle_new(m->p, kind);
    if (v) v->integer = number;
    return push(m, v);
}

static bool push_fixed(machine *m, int bytes)
{
    uint64_t u;
    if (!take_number(m, bytes, &u)) return false;
    return push_integer(m, LUC_PICKLE_INTEGER, bytes == 4 ? (int32_t)(uint32_t)u : (int64_t)u);
}

/* An integer in two's complement of any number of bytes. */
static bool push_long(machine *m, int bytes_of_length)
{
    uint64_t n;
    const unsigned char *p;
    if (!take_number(m, bytes_of_length, &n) || !take(m, (size_t)n, &p)) return false;
    luc_pickle_value *v = luc_pickle_new(m->p, LUC_PICKLE_INTEGER);
    if (!v) return false;
    if (n > 8) {
        v->kind = LUC_PICKLE_LONG;
    } else if (n) {
        uint64_t u = luc_little(p, (int)n);
        if (n < 8 && p[n - 1] & 0x80) u |= UINT64_MAX << 8 * n;
        v->integer = (int64_t)u;
    }
    return push(m, v);
}

static bool push_float(machine *m)
{
    const unsigned char *p;
    if (!take(m, 8, &p)) return false;
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) bits = bits << 8 | p[i]; /* the highest byte first */
    luc_pickle_value *v = luc_pickle_new(m->p, LUC_PICKLE_FLOAT);
    if (v) memcpy(&v->number, &bits, 8);
    return push(m, v);
}

static bool push_text(machine *m, int bytes_of_length)
{
    uint64_t n;
    const unsigned char *p;
    if (!take_number(m, bytes_of_length, &n) || !take(m, (size_t)n, &p)) return false;
    luc_pickle_value *v = luc_pickle_new(m->p, LUC_PICKLE_TEXT);
    if (!v) return false;
    v->text.s = (const char *)p;
    v->text.length = (size_t)n;
    return push(m, v);
}

/* Two lines: a module and a name in it. */
static bool push_name(machine *m)
{
    const size_t left = (size_t)(m->end - m->at);
    const unsigned char *module = m->at, *a = memchr(module, '\n', left);
    const unsigned char *b = a ? memchr(a + 1, '\n', (size_t)(m->end - (a + 1))) : NULL;
    if (!b) return damaged(m, "it is cut off");
    m->at = b + 1;
    return push(m, luc_pickle_find_name(m->p, (const char *)module, (size_t)(a - module),
                                        (const char *)a + 1, (size_t)(b - (a + 1))));
}

static bool push_stacked_name(machine *m)
{
    const luc_pickle_value *name = pop(m), *module = name ? pop(m) : NULL;
    if (!module) return false;
    if (name->kind != LUC_PICKLE_TEXT || module->kind != LUC_PICKLE_TEXT)
        return damaged(m, "a name is no text");
    return push(m, luc_pickle_find_name(m->p, module->text.s, module->text.length, name->text.s,
                                        name->text.length));
}

/* ---- containers ------------------------------------------------------------------------------ */

/* A tuple of the values from `begin` on. */
static bool push_tuple(machine *m, size_t begin)
{
    luc_pickle_value *v = luc_pickle_new(m->p, LUC_PICKLE_TUPLE);
    for (size_t i = begin; v && i < m->depth; i++)
        if (!luc_pickle_append(m->p, v, m->stack[i])) return false;
    m->depth = begin;
    return push(m, v);
}

static bool push_short_tuple(machine *m, size_t n)
{
    if (m->depth - floor_of(m) < n) return damaged(m, "it takes a value that is not there");
    return push_tuple(m, m->depth - n);
}

static bool push_marked_tuple(machine *m)
{
    size_t begin;
    return unmark(m, &begin) && push_tuple(m, begin);
}

/* Adds the values from `begin` on to the container below them. */
static bool extend(machine *m, size_t begin, luc_pickle_kind kind)
{
    const size_t n = m->depth - begin;
    m->depth = begin;
    luc_pickle_value *list = top(m);
    if (!list) return false;
    if (list->kind != kind || (kind == LUC_PICKLE_DICT && n % 2))
        return damaged(m, "it adds to something that is no container");
    for (size_t i = 0; i < n; i++)
        if (!luc_pickle_append(m->p, list, m->stack[begin + i])) return false;
    return true;
}

static bool extend_few(machine *m, size_t n, luc_pickle_kind kind)
{
    if (m->depth - floor_of(m) < n + 1) return damaged(m, "it takes a value that is not there");
    return extend(m, m->depth - n, kind);
}

static bool extend_marked(machine *m, luc_pickle_kind kind)
{
    size_t begin;
    return unmark(m, &begin) && extend(m, begin, kind);
}

/* ---- memo ------------------------------------------------------------------------------------ */

/* Every entry takes bytes of the pickle, so that a larger index is none that was written. */
static bool put(machine *m, uint64_t i)
{
    luc_pickle_value *v = top(m);
    if (!v) return false;
    if (i >= m->size) return damaged(m, "an index of the memo is too large");
    if (i >= m->memo_room) {
        size_t more = m->memo_room ? m->memo_room : 32;
        while (more <= i) more *= 2;
        luc_pickle_value **room = luc_arena_alloc(m->p->arena, more * sizeof *room);
        if (!room) return false;
        memset(room, 0, more * sizeof *room);
        if (m->memo_room) memcpy(room, m->memo, m->memo_room * sizeof *room);
        m->memo = room;
        m->memo_room = more;
    }
    m->memo[i] = v;
    return true;
}

static bool put_numbered(machine *m, int bytes)
{
    uint64_t i;
    return take_number(m, bytes, &i) && put(m, i);
}

static bool get(machine *m, int bytes)
{
    uint64_t i;
    if (!take_number(m, bytes, &i)) return false;
    if (i >= m->memo_room || !m->memo[i]) return damaged(m, "it takes from an empty memo");
    return push(m, m->memo[i]);
}

/* ---- functions ------------------------------------------------------------------------------- */

static bool call(machine *m)
{
    const luc_pickle_value *arguments = pop(m), *function = arguments ? pop(m) : NULL;
    if (!function) return false;
    if (function->kind != LUC_PICKLE_NAME || arguments->kind != LUC_PICKLE_TUPLE)
        return damaged(m, "it calls what is no function");
    return push(m, luc_pickle_call(m->p, function, arguments));
}

static bool build(machine *m)
{
    luc_pickle_value *state = pop(m), *v = state ? top(m) : NULL;
    return v && luc_pickle_build(m->p, v, state);
}

static bool push_storage(machine *m)
{
    const luc_pickle_value *id = pop(m);
    luc_pickle *p = m->p;
    luc_pickle_value *v = id ? luc_pickle_storage(p, id) : NULL;
    if (!v || !make_room(p, &p->storages, p->n_storages, &p->room)) return false;
    p->storages[p->n_storages++] = v;
    return push(m, v);
}

static bool check_protocol(machine *m)
{
    uint64_t protocol;
    if (!take_number(m, 1, &protocol)) return false;
    return protocol <= 5 ||
           luc_raise(LUCID_ERR_UNSUPPORTED, m->p->op,
                     "%s: expected a pickle of protocol 2 to 5, got %d", m->p->path, (int)protocol);
}

static bool drop_marked(machine *m)
{
    size_t begin;
    if (!unmark(m, &begin)) return false;
    m->depth = begin;
    return true;
}

static bool refuse(const machine *m, unsigned char instruction)
{
    const char *what = NULL;
    if (instruction == 'B' || instruction == 'C' || instruction == 0x8e || instruction == 0x96)
        what = "bytes";
    if (instruction == 0x8f || instruction == 0x90 || instruction == 0x91) what = "a set";
    if (instruction == 'i' || instruction == 'o' || instruction == 0x92) what = "an object";
    if (what)
        return luc_raise(LUCID_ERR_UNSUPPORTED, m->p->op,
                         "%s: its pickle holds %s, which is no tensor, number, text, list or dict",
                         m->p->path, what);
    return luc_raise(LUCID_ERR_FORMAT, m->p->op,
                     "%s: its pickle is damaged: it has an instruction 0x%02x", m->p->path,
                     instruction);
}

/* Instructions of numbers, texts, and names. */
static bool step_value(machine *m, unsigned char instruction, bool *known)
{
    switch (instruction) {
    case 'N':
        return push(m, luc_pickle_new(m->p, LUC_PICKLE_NONE));
    case 0x88:
        return push_integer(m, LUC_PICKLE_BOOL, 1);
    case 0x89:
        return push_integer(m, LUC_PICKLE_BOOL, 0);
    case 'J':
        return push_fixed(m, 4);
    case 'K':
        return push_fixed(m, 1);
    case 'M':
        return push_fixed(m, 2);
    case 0x8a:
        return push_long(m, 1);
    case 0x8b:
        return push_long(m, 4);
    case 'G':
        return push_float(m);
    case 'X':
        return push_text(m, 4);
    case 0x8c:
        return push_text(m, 1);
    case 0x8d:
        return push_text(m, 8);
    case 'T':
        return push_text(m, 4); /* str of Python 2 */
    case 'U':
        return push_text(m, 1);
    case 'c':
        return push_name(m);
    case 0x93:
        return push_stacked_name(m);
    case 'Q':
        return push_storage(m);
    default:
        *known = false;
        return true;
    }
}

/* Instructions of containers, the stack and the memo. */
static bool step(machine *m, unsigned char instruction)
{
    bool known = true;
    const bool ok = step_value(m, instruction, &known);
    if (known) return ok;
    switch (instruction) {
    case 0x80:
        return check_protocol(m);
    case 0x95:
        m->at += m->end - m->at < 8 ? m->end - m->at : 8;
        return true; /* a frame's size */
    case '(':
        return mark(m);
    case '0':
        return pop(m) != NULL;
    case '1':
        return drop_marked(m);
    case ']':
        return push(m, luc_pickle_new(m->p, LUC_PICKLE_LIST));
    case '}':
        return push(m, luc_pickle_new(m->p, LUC_PICKLE_DICT));
    case ')':
        return push(m, luc_pickle_new(m->p, LUC_PICKLE_TUPLE));
    case 't':
        return push_marked_tuple(m);
    case 0x85:
        return push_short_tuple(m, 1);
    case 0x86:
        return push_short_tuple(m, 2);
    case 0x87:
        return push_short_tuple(m, 3);
    case 'a':
        return extend_few(m, 1, LUC_PICKLE_LIST);
    case 'e':
        return extend_marked(m, LUC_PICKLE_LIST);
    case 's':
        return extend_few(m, 2, LUC_PICKLE_DICT);
    case 'u':
        return extend_marked(m, LUC_PICKLE_DICT);
    case 'q':
        return put_numbered(m, 1);
    case 'r':
        return put_numbered(m, 4);
    case 0x94:
        return put(m, m->memorized++);
    case 'h':
        return get(m, 1);
    case 'j':
        return get(m, 4);
    case 'R':
        return call(m);
    case 0x81:
        return call(m); /* a type's constructor */
    case 'b':
        return build(m);
    default:
        return refuse(m, instruction);
    }
}

luc_pickle_value *luc_pickle_read(luc_pickle *p, const unsigned char *bytes, size_t size,
                                  size_t *used)
{
    machine m = {.p = p, .at = bytes, .end = bytes + size, .size = size};
    const unsigned char *instruction;
    while (take(&m, 1, &instruction)) {
        if (*instruction == '.') {
            *used = (size_t)(m.at - bytes);
            return m.n_marks ? luc_pickle_damaged(p, "it ends too early") : pop(&m);
        }
        if (!step(&m, *instruction)) return NULL;
    }
    return NULL;
}
