/* report.c: weights, metrics and pictures. */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <lucid/plot/plot.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATH_SIZE = 4096, IMAGE = 28 * 28, MAX_WRONG = 40, MAX_BATCH = 1024 };

struct report {
    const options *o;
    FILE *metrics; /* NULL with --eval-only */
    double began;
    /* for the curves: the loss of every step, and loss and accuracy on the test data after every
     * epoch */
    double *step_loss, *test_loss, *accuracy;
    int64_t steps, steps_capacity;
    int epochs;          /* epochs that were finished */
    int64_t epoch_steps; /* steps of one epoch */
    bool fashion;        /* the classes are clothes, not digits */
    /* wrong answers of the last pass over the test data */
    int wrong;
    int said[MAX_WRONG], truth[MAX_WRONG];
    float pixels[MAX_WRONG * IMAGE];
};

double score_accuracy(const score *s)
{
    return s->n ? 100 * (double)s->hits / (double)s->n : 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The path of a file in the output folder. */
static const char *in_folder(const report *r, const char *name, char *path)
{
    int n = snprintf(path, PATH_SIZE, "%s/%s", r->o->out, name);
    if (n < 0 || n >= PATH_SIZE) {
        fprintf(stderr, "mnist: --out: the path is too long\n");
        exit(1);
    }
    return path;
}

static void *need(void *memory)
{
    if (memory) return memory;
    fprintf(stderr, "mnist: out of memory\n");
    exit(1);
}

/* Writes a text as a JSON string. */
static void put_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(file, "\\%c", c);
        else if (c < ' ')
            fprintf(file, "\\u%04x", c);
        else
            fputc(c, file);
    }
    fputc('"', file);
}

static void put_options(FILE *file, const options *o)
{
    fprintf(file,
            "{\"seed\": %" PRIu64 ", \"lr\": %.15g, \"epochs\": %d, \"batch_size\": %" PRId64
            ", \"threads\": %d, \"device\": \"%s\", \"data\": ",
            o->seed, o->lr, o->epochs, o->batch_size, lucid_get_num_threads(),
            lucid_device_name(o->device));
    put_text(file, o->data);
    fputs(", \"load\": ", file);
    if (o->load)
        put_text(file, o->load);
    else
        fputs("null", file);
    fputs("}\n", file);
    fflush(file);
}

report *report_begin(const options *o, lucid_module *net)
{
    report *r = need(calloc(1, sizeof *r));
    r->o = o;
    r->test_loss = need(calloc((size_t)o->epochs, sizeof(double)));
    r->accuracy = need(calloc((size_t)o->epochs, sizeof(double)));
    if (!o->eval_only) {
        char path[PATH_SIZE];
        r->metrics = fopen(in_folder(r, "metrics.jsonl", path), "w");
        if (!r->metrics) {
            fprintf(stderr, "mnist: --out: cannot write %s: %s\n", path, strerror(errno));
            exit(1);
        }
        put_options(r->metrics, o);
    }
    if (!o->quiet) {
        lucid_module_print(net);
        int threads = lucid_get_num_threads();
        printf("%" PRId64 " parameters, %s, %d thread%s\n", lucid_parameter_count(net, false),
               lucid_device_name(o->device), threads, threads == 1 ? "" : "s");
        fflush(stdout);
    }
    r->began = now();
    return r;
}

void report_step(report *r, double loss)
{
    if (r->steps == r->steps_capacity) {
        r->steps_capacity = r->steps_capacity ? 2 * r->steps_capacity : 1024;
        r->step_loss = need(realloc(r->step_loss, (size_t)r->steps_capacity * sizeof(double)));
    }
    r->step_loss[r->steps++] = loss;
}

/* MNIST and Fashion-MNIST have the same files and sizes; the first test labels tell them apart. */
static bool is_fashion(const double *labels, int64_t n)
{
    static const double first[] = {9, 2, 1, 1, 6, 1, 4, 6}; /* MNIST's test data begin with a 7 */
    enum { FIRST = sizeof first / sizeof *first };
    for (int i = 0; i < FIRST && i < n; i++)
        if (labels[i] != first[i]) return false;
    return n >= FIRST;
}

void report_wrong_answers(report *r, const lucid_batch *b, lucid_tensor *guess)
{
    if (b->number == 0) r->wrong = 0;
    if (r->wrong == MAX_WRONG || b->n > MAX_BATCH) return;
    double said[MAX_BATCH], truth[MAX_BATCH];
    lucid_to_doubles(guess, said, (size_t)b->n);
    lucid_to_doubles(b->y, truth, (size_t)b->n);
    if (b->number == 0) r->fashion = is_fashion(truth, b->n);
    for (int64_t i = 0; i < b->n && r->wrong < MAX_WRONG; i++) {
        if (said[i] == truth[i]) continue;
        int w = r->wrong++;
        r->said[w] = (int)said[i];
        r->truth[w] = (int)truth[i];
        lucid_copy_to(lucid_select(b->x, 0, i), r->pixels + (size_t)w * IMAGE,
                      IMAGE * sizeof(float));
    }
}

void report_epoch(report *r, const epoch_result *e)
{
    fprintf(r->metrics, "{\"epoch\": %d, \"samples\": %" PRId64 ", \"train_loss\": %.9g, ",
            e->epoch, e->samples, e->train_loss);
    if (e->test) {
        double test_loss = e->test->n ? e->test->loss / (double)e->test->n : 0;
        fprintf(r->metrics, "\"test_loss\": %.9g, \"test_accuracy\": %.2f, ", test_loss,
                score_accuracy(e->test));
        if (r->epochs == 0) r->epoch_steps = r->steps;
        r->test_loss[r->epochs] = test_loss;
        r->accuracy[r->epochs++] = score_accuracy(e->test);
    }
    fprintf(r->metrics, "\"lr\": %.9g, \"seconds\": %.3f, \"interrupted\": %s}\n", e->lr,
            e->seconds, e->test ? "false" : "true");
    fflush(r->metrics);
}

void report_weights(const report *r, lucid_module *net)
{
    char path[PATH_SIZE];
    if (!r->o->eval_only) lucid_save(net, in_folder(r, "mnist.safetensors", path));
}

/* ---- pictures ------------------------------------------------------------------------------- */

static void save_picture(const report *r, lucid_image *image, const char *name)
{
    char path[PATH_SIZE];
    lucid_image_write_png(image, in_folder(r, name, path));
    lucid_image_free(image);
}

/* The accuracies fill the panel, which ends at 100 %, because nothing can be above. */
static lucid_panel accuracy_panel(const lucid_series *accuracy)
{
    double lowest = 100;
    for (int64_t i = 0; i < accuracy->n; i++)
        if (accuracy->y[i] < lowest) lowest = accuracy->y[i];
    double below = lowest - fmax(0.1 * (100 - lowest), 0.5);
    return (lucid_panel){.title = "test accuracy, %",
                         .x_label = "epoch",
                         .series = accuracy,
                         .count = 1,
                         .y_min = fmax(below, 0),
                         .y_max = 100};
}

static void draw_curves(const report *r)
{
    double *epoch = need(malloc((size_t)r->steps * sizeof(double)));
    for (int64_t i = 0; i < r->steps; i++) epoch[i] = (double)(i + 1) / (double)r->epoch_steps;
    lucid_series loss[] = {
        {.name = "training", .x = epoch, .y = r->step_loss, .n = r->steps, .smooth = 0.02},
        {.name = "test", .y = r->test_loss, .n = r->epochs, .markers = true},
    };
    lucid_series accuracy = {.y = r->accuracy, .n = r->epochs, .markers = true};
    lucid_panel panels[] = {
        {.title = "loss", .x_label = "epoch", .series = loss, .count = 2, .log_y = true},
        accuracy_panel(&accuracy),
    };
    save_picture(r, lucid_plot(panels, 2), "curves.png");
    free(epoch);
}

static void draw_wrong_answers(const report *r)
{
    static const char *const clothes[] = {"T-shirt", "trouser", "pullover", "dress", "coat",
                                          "sandal",  "shirt",   "sneaker",  "bag",   "boot"};
    char text[MAX_WRONG][32];
    const char *captions[MAX_WRONG];
    for (int i = 0; i < r->wrong; i++) {
        int said = r->said[i], truth = r->truth[i];
        if (r->fashion)
            snprintf(text[i], sizeof text[i], "said %s, is %s", clothes[said], clothes[truth]);
        else
            snprintf(text[i], sizeof text[i], "said %d, is %d", said, truth);
        captions[i] = text[i];
    }
    lucid_grid_options o = lucid_grid_defaults;
    o.columns = 8;
    o.title = "Wrong answers";
    lucid_tensor *images = lucid_from_data((r->wrong, 28, 28), r->pixels);
    save_picture(r, lucid_plot_images_opt(images, captions, &o),
                 r->o->eval_only ? "wrong-eval.png" : "wrong.png");
}

static void draw_filters(const report *r, lucid_module *net)
{
    lucid_grid_options o = lucid_grid_defaults;
    o.columns = 8;
    o.scale = 20;
    o.title = "Filters of the first layer";
    lucid_tensor *weight = lucid_get_parameter(net, "0.weight");
    save_picture(r, lucid_plot_filters_opt(lucid_tensor_to(weight, lucid_cpu()), &o),
                 "filters.png");
}

void report_end(report *r, lucid_module *net, const score *s)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    double seconds = now() - r->began;
    if (r->metrics) {
        fclose(r->metrics);
        if (r->epochs > 0) draw_curves(r);
        draw_filters(r, net);
    }
    if (s && r->wrong > 0) draw_wrong_answers(r);
    if (!s)
        printf("interrupted after %.1f s%s\n", seconds,
               r->o->eval_only ? "" : "; weights, metrics and pictures are saved");
    else if (r->o->eval_only)
        printf("test accuracy %.2f %%, %.1f s\n", score_accuracy(s), seconds);
    else
        printf("test accuracy %.2f %% after %d epoch%s, %.1f s\n", score_accuracy(s), r->epochs,
               r->epochs == 1 ? "" : "s", seconds);
    free(r->step_loss);
    free(r->test_loss);
    free(r->accuracy);
    free(r);
}
