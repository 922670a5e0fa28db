/* Every allocation around files fails once, those of libraries included: a function reports
 * it, or has done its work; the old file is whole, or the new one is; the folder holds no other
 * file. */
#include "tests/fail_malloc.h"
#include "tests/lucid/io/files.h"

#include "lucid/lucid.h"

#include <sys/stat.h>

TestSuite(torture_files, .init = files_begin, .fini = files_end);

static lucid_module *net, *other;
static lucid_optimizer *opt;
static lucid_image *image;

/* Checks what must hold whether the call succeeded or not. */
typedef bool (*check)(const char *path);

static bool save(const char *path)
{
    return lucid_save(net, path);
}

static bool load(const char *path)
{
    return lucid_load(other, path);
}

static bool save_optimizer(const char *path)
{
    return lucid_optimizer_save(opt, path);
}

static bool load_optimizer(const char *path)
{
    return lucid_optimizer_load(opt, path);
}

static bool write_png(const char *path)
{
    return lucid_image_write_png(image, path);
}

static bool write_trace(const char *path)
{
    return lucid_profiler_write_trace(path);
}

static bool read_idx(const char *path)
{
    LUCID_SCOPE;
    lucid_tensor *t = lucid_idx_read(path);
    return t && lucid_item(lucid_sum(t)) == 6;
}

static bool plot(const char *path)
{
    const double y[] = {1, 2, 3};
    lucid_series s = {.name = "loss", .y = y, .n = 3, .smooth = 0.5};
    lucid_panel panel = {.title = "a", .series = &s, .count = 1};
    lucid_image *p = lucid_plot(&panel, 1);
    lucid_image_free(p);
    (void)path;
    return p != NULL;
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_size > 0;
}

static bool is_json(const char *path)
{
    size_t size;
    char *text = files_read(path, &size);
    bool right = size > 4 && strcmp(text + size - 3, "]}\n") == 0;
    free(text);
    return right;
}

static bool is_png(const char *path)
{
    size_t size;
    char *bytes = files_read(path, &size);
    bool right = size > 12 && memcmp(bytes + size - 8, "IEND", 4) == 0;
    free(bytes);
    return right;
}

/* Runs `work` with every allocation failing in turn. */
static void torture(const char *what, bool (*work)(const char *), const char *path, check right)
{
    char file[512];
    snprintf(file, sizeof file, "%s", path);
    cr_assert(work(file), "%s: %s", what, lucid_error());
    if (!FAIL_MALLOC_WORKS) return;
    int refused = 0;
    for (long n = 1;; n++) {
        fail_malloc_begin(n);
        bool done = work(file);
        bool reached = fail_malloc_end();
        lucid_code code = lucid_error_code();
        cr_expect(done == (code == LUCID_OK), "%s: allocation %ld: returned %d, but: %s", what, n,
                  done, lucid_error());
        cr_expect(done || code == LUCID_ERR_MEMORY, "%s: allocation %ld: %s", what, n,
                  lucid_error());
        lucid_clear_error();
        cr_expect(right(file), "%s: allocation %ld: the file is not right: %s", what, n,
                  lucid_error());
        lucid_clear_error();
        cr_expect(files_count() == 1, "%s: allocation %ld: %d files", what, n, files_count());
        refused += !done;
        if (!reached) break;
        cr_assert(n < 20000);
    }
    cr_expect(refused > 2, "%s: only %d allocations were found", what, refused);
}

static void make_nets(void)
{
    LUCID_SCOPE;
    net = nn_Sequential(nn_Linear(3, 2), nn_BatchNorm1d(2));
    other = nn_Sequential(nn_Linear(3, 2), nn_BatchNorm1d(2));
    opt = optim_Adam(net);
    lucid_backward(lucid_sum(lucid_forward(net, lucid_ones((2, 3)))));
    lucid_step(opt);
    cr_assert(net && other && opt, "%s", lucid_error());
}

Test(torture_files, checkpoints)
{
    make_nets();
    torture("save", save, files_path("a"), load);
    torture("load", load, files_path("a"), load);
}

Test(torture_files, optimizers)
{
    make_nets();
    torture("save", save_optimizer, files_path("a"), load_optimizer);
    torture("load", load_optimizer, files_path("a"), load_optimizer);
}

Test(torture_files, pictures)
{
    image = lucid_image_new(50, 40, 0x123456);
    torture("png", write_png, files_path("a.png"), is_png);
    torture("plot", plot, files_path("a.png"), is_png);
    lucid_image_free(image);
}

Test(torture_files, traces)
{
    make_nets();
    lucid_profiler_start(.trace = true);
    {
        LUCID_SCOPE;
        lucid_forward(net, lucid_ones((2, 3)));
    }
    lucid_profiler_stop();
    torture("trace", write_trace, files_path("a.json"), is_json);
    lucid_profiler_reset();
}

Test(torture_files, idx)
{
    const unsigned char bytes[] = {0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3};
    torture("idx", read_idx, files_write_gz("a.gz", bytes, sizeof bytes), exists);
}
