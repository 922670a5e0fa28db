/* run_folder.c: a folder of run files: the last ones and the best one. */
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/io/safetensors.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"
#include "nn/run_file_priv.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEGIN       "run-"
#define END         ".safetensors"
#define METRIC_NOTE "metric"

static const char op[] = "run_save_in";

/* The number in "run-NUMBER.safetensors", as lucid_run_save_in writes it; -1 for another name. */
static int64_t number_of(const char *name)
{
    size_t begin = strlen(BEGIN), length = strlen(name), end = strlen(END);
    if (length <= begin + end || strncmp(name, BEGIN, begin) != 0) return -1;
    if (strcmp(name + length - end, END) != 0) return -1;
    /* Nine digits at least, and no zero before more: no other file is counted, or deleted. */
    const size_t digits = length - begin - end;
    if (digits < 9 || (digits > 9 && name[begin] == '0')) return -1;
    int64_t number = 0;
    for (const char *c = name + begin; c < name + length - end; c++) {
        if (*c < '0' || *c > '9' || number > (INT64_MAX - 9) / 10) return -1;
        number = 10 * number + (*c - '0');
    }
    return number;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The numbers of a folder's files in order; the caller's to luc_free. Without the folder, none. */
static bool list_numbers(const char *folder, int64_t **numbers, size_t *n)
{
    size_t capacity = 0;
    *numbers = NULL;
    *n = 0;
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT) return true;
    if (!dir) return luc_raise(LUCID_ERR_IO, op, "folder: %s: %s", folder, strerror(errno));
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(dir));) {
        int64_t number = number_of(e->d_name);
        if (number < 0) continue;
        if (*n == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            int64_t *more = luc_realloc(*numbers, capacity * sizeof *more, op);
            ok = more != NULL;
            if (ok) *numbers = more;
        }
        if (ok) (*numbers)[(*n)++] = number;
    }
    closedir(dir);
    if (ok && *n) qsort(*numbers, *n, sizeof **numbers, by_number);
    return ok;
}

static bool path_of(luc_string *path, const char *folder, int64_t number)
{
    luc_string_cut(path, 0);
    return luc_string_printf(path, "%s/" BEGIN "%09lld" END, folder, (long long)number);
}

/* ---- saving ---------------------------------------------------------------------------------- */

/* The first `n - keep` of the numbers. */
static bool remove_old(const char *folder, int64_t keep)
{
    int64_t *numbers;
    size_t n;
    luc_string path = {0};
    bool ok = list_numbers(folder, &numbers, &n);
    for (size_t i = 0; ok && n > (size_t)keep && i < n - (size_t)keep; i++) {
        ok = path_of(&path, folder, numbers[i]);
        if (ok && unlink(path.s) != 0 && errno != ENOENT)
            ok = luc_raise(LUCID_ERR_IO, op, "%s: cannot be removed: %s", path.s, strerror(errno));
    }
    luc_string_free(&path);
    luc_free(numbers);
    return ok;
}

/* The measure of the best file; NAN where there is none, or one that is none of ours. */
static bool best_so_far(const char *path, double *metric)
{
    *metric = NAN;
    if (access(path, F_OK) != 0) return true;
    lucid_safetensors *file = lucid_safetensors_open(path);
    if (!file) return false;
    const char *text = lucid_safetensors_metadata(file, METRIC_NOTE);
    if (text) *metric = luc_strtod(text, NULL);
    lucid_safetensors_close(file);
    return true;
}

static bool save_state(const lucid_run_options *o, const char *path)
{
    char text[40];
    lucid_state_dict *all = luc_run_state(o);
    luc_snprintf(text, sizeof text, "%.17g", o->metric);
    bool ok =
        all && (o->best == LUCID_BEST_NONE || lucid_state_dict_set_note(all, METRIC_NOTE, text));
    ok = ok && lucid_state_dict_save(all, path);
    lucid_state_dict_free(all);
    return ok;
}

static bool save_best(const lucid_run_options *o, const char *folder)
{
    luc_string path = {0};
    double best = NAN;
    bool ok = luc_string_printf(&path, "%s/best" END, folder) && best_so_far(path.s, &best);
    bool better = o->best == LUCID_BEST_LOWEST ? o->metric < best : o->metric > best;
    if (ok && !isnan(o->metric) && (isnan(best) || better)) ok = save_state(o, path.s);
    luc_string_free(&path);
    return ok;
}

static bool check(const char *folder, int64_t number, const lucid_run_options *o)
{
    if (!folder || !*folder)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "folder: expected a path, got %s",
                         folder ? "\"\"" : "NULL");
    if (number < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "number: expected at least 0, got %lld",
                         (long long)number);
    if (o->keep < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "keep: expected at least 1, got %lld",
                         (long long)o->keep);
    return (o->best >= LUCID_BEST_NONE && o->best <= LUCID_BEST_HIGHEST) ||
           luc_raise(LUCID_ERR_ARGUMENT, op,
                     "best: expected LUCID_BEST_NONE, _LOWEST or _HIGHEST, got %d", (int)o->best);
}

bool lucid_run_save_in_opt(const char *folder, int64_t number, const lucid_run_options *options)
{
    LUC_CALLED_AS("run_save_in");
    const lucid_run_options *o = LUC_OPTIONS(lucid_run, options, op);
    if (!o || lucid_error_code() != LUCID_OK || !check(folder, number, o)) return false;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return luc_raise(LUCID_ERR_IO, op, "folder: %s: %s", folder, strerror(errno));
    luc_string path = {0};
    bool ok = path_of(&path, folder, number) && save_state(o, path.s);
    luc_string_free(&path);
    if (ok && o->best != LUCID_BEST_NONE) ok = save_best(o, folder);
    return ok && remove_old(folder, o->keep);
}

/* ---- loading --------------------------------------------------------------------------------- */

int64_t lucid_run_load_latest_opt(const char *folder, const lucid_run_options *options)
{
    LUC_CALLED_AS("run_load_latest");
    const lucid_run_options *o = LUC_OPTIONS(lucid_run, options, "run_load_latest");
    if (!o || lucid_error_code() != LUCID_OK) return -1;
    if (!folder) {
        luc_raise(LUCID_ERR_ARGUMENT, "run_load_latest", "folder: expected a path, got NULL");
        return -1;
    }
    int64_t *numbers, number = -1;
    size_t n;
    luc_string path = {0};
    bool ok = list_numbers(folder, &numbers, &n);
    if (ok && n && path_of(&path, folder, numbers[n - 1]) && lucid_run_load_opt(path.s, o))
        number = numbers[n - 1];
    luc_string_free(&path);
    luc_free(numbers);
    return number;
}
