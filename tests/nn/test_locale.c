/* A program whose locale has a decimal comma: lucid writes and reads the same as without it. */
#include "tests/lucid/io/files.h"

#include "lucid/lucid.h"

#include <jansson.h>
#include <locale.h>
#include <sys/stat.h>

TestSuite(locale, .init = files_begin, .fini = files_end);

/* Makes a locale in which 0.5 is "0,5" and a thousand has dots. Sets it, or skips the test. */
static void set_comma(void)
{
    static const char source[] =
        "comment_char %\nescape_char /\nLC_NUMERIC\ndecimal_point \"<U002C>\"\n"
        "thousands_sep \"<U002E>\"\ngrouping 3;3\nEND LC_NUMERIC\n";
    char command[1600];
    const char *from = files_write("comma.source", source, sizeof source - 1);
    snprintf(command, sizeof command, "localedef -c -i '%s' -f ANSI_X3.4-1968 '%s' >/dev/null 2>&1",
             from, files_path("comma"));
    if (system(command) < 0) cr_skip_test("no shell");
    setenv("LOCPATH", files_folder, 1);
    if (!setlocale(LC_NUMERIC, "comma"))
        cr_skip_test("localedef is missing, or cannot make a locale here");
    char text[16];
    snprintf(text, sizeof text, "%.1f", 0.5);
    cr_assert_str_eq(text, "0,5");
}

/* The files of the locale, which files_end does not remove. */
static void remove_comma(void)
{
    setlocale(LC_NUMERIC, "C");
    char path[512];
    snprintf(path, sizeof path, "%s", files_path("comma"));
    unlink(files_path("comma/LC_NUMERIC"));
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    cr_expect(system(command) == 0);
}

static int own_repr(const lucid_module *m, char *text, size_t size)
{
    (void)m;
    return snprintf(text, size, "rate=%.2f", 0.25);
}

Test(locale, printing)
{
    set_comma();
    LUCID_SCOPE;
    lucid_module *net = nn_Sequential(nn_BatchNorm2d(4, .momentum = 0.05), nn_Dropout(.p = 0.25),
                                      nn_LeakyReLU(.negative_slope = 1.5));
    char *t = lucid_to_string(lucid_values((2), 1.5, 2.25));
    char *e = lucid_to_string(lucid_values((2), 1.5, 1e-5));
    char *m = lucid_module_to_string(net);
    cr_expect_str_eq(t, "tensor([1.5000, 2.2500])");
    cr_expect_str_eq(e, "tensor([1.5000e+00, 1.0000e-05])");
    cr_expect(strstr(m, "momentum=0.05") && strstr(m, "p=0.25") && strstr(m, "slope=1.5"), "%s", m);
    free(t);
    free(e);
    free(m);
    EXPECT_ERROR(optim_SGD(net, .lr = -0.5), LUCID_ERR_ARGUMENT, "-0.5");
    lucid_module_free(net);
    char after[16];
    snprintf(after, sizeof after, "%.1f", 0.5);
    cr_expect_str_eq(after, "0,5", "the program's own locale stays");
    remove_comma();
}

static const lucid_module_class own_class = {.name = "Own",
                                             .size = sizeof(lucid_module),
                                             .super = &lucid_module_class_base,
                                             .extra_repr = own_repr};

Test(locale, modules_of_ones_own)
{
    set_comma();
    lucid_module *own = lucid_module_new(&own_class);
    char *m = lucid_module_to_string(own);
    cr_expect_str_eq(m, "Own(rate=0.25)");
    free(m);
    lucid_module_free(own);
    remove_comma();
}

Test(locale, the_profiler)
{
    set_comma();
    lucid_profiler_start(.trace = true);
    {
        LUCID_SCOPE;
        lucid_sum(lucid_ones((1000)));
    }
    lucid_profiler_stop();
    const char *path = files_path("trace.json");
    cr_assert(lucid_profiler_write_trace(path), "%s", lucid_error());
    json_error_t why;
    json_t *trace = json_load_file(path, 0, &why);
    cr_expect(trace, "%s", why.text);
    json_t *event = json_array_get(json_object_get(trace, "traceEvents"), 0);
    cr_expect(json_is_real(json_object_get(event, "dur")));
    json_decref(trace);
    FILE *f = fopen(files_path("table"), "w");
    cr_expect(f && lucid_profiler_print(f, false));
    fclose(f);
    size_t size;
    char *table = files_read(files_path("table"), &size);
    cr_expect(!strchr(table, ',') && strchr(table, '.'), "%s", table);
    free(table);
    lucid_profiler_reset();
    remove_comma();
}

Test(locale, checkpoints)
{
    LUCID_SCOPE;
    lucid_module *net = nn_Linear(3, 2);
    lucid_optimizer *opt = optim_SGD(net, .lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4);
    cr_assert(lucid_save(net, files_path("c")) && lucid_optimizer_save(opt, files_path("c.opt")));
    set_comma();
    cr_assert(lucid_save(net, files_path("d")) && lucid_optimizer_save(opt, files_path("d.opt")));
    const char *const pairs[][2] = {{"c", "d"}, {"c.opt", "d.opt"}};
    for (int i = 0; i < 2; i++) {
        size_t a, b;
        char *c = files_read(files_path(pairs[i][0]), &a),
             *d = files_read(files_path(pairs[i][1]), &b);
        cr_expect(a == b && memcmp(c, d, a) == 0, "%s: the bytes are those of C", pairs[i][1]);
        free(c);
        free(d);
    }
    lucid_optimizer *again = optim_SGD(net, .lr = 1);
    cr_expect(lucid_optimizer_load(again, files_path("c.opt")), "%s", lucid_error());
    lucid_optim_options o = lucid_optim_get_options(again, 0);
    cr_expect(o.lr == 0.05 && o.momentum == 0.9 && o.weight_decay == 5e-4);
    lucid_optimizer_free(again);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    remove_comma();
}
