/* report.c: weights, metrics and pictures. */
#include "report.h"
#include "pictures.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATH_SIZE = 4096 };

struct report {
    const options *o;
    FILE *metrics; /* NULL with --eval-only */
    double began;
    curves curves;
    wrong_answers wrong;
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

report *report_begin(const options *o, lucid_module *net)
{
    report *r = calloc(1, sizeof *r);
    if (!r) {
        fprintf(stderr, "mnist: out of memory\n");
        exit(1);
    }
    r->o = o;
    if (!o->eval_only) {
        char path[PATH_SIZE];
        r->metrics = fopen(in_folder(r, "metrics.jsonl", path), "w");
        if (!r->metrics) {
            fprintf(stderr, "mnist: --out: cannot write %s: %s\n", path, strerror(errno));
            exit(1);
        }
    }
    if (!o->quiet) {
        lucid_module_print(net);
        printf("%" PRId64 " parameters, %s, %d threads\n", lucid_parameter_count(net, false),
               lucid_device_name(o->device), lucid_get_num_threads());
        fflush(stdout);
    }
    r->began = now();
    return r;
}

void report_wrong_answers(report *r, const lucid_batch *b, lucid_tensor *guess)
{
    if (b->number == 0) r->wrong.count = 0;
    if (r->wrong.count == MAX_WRONG || b->n > MAX_BATCH) return;
    double said[MAX_BATCH], truth[MAX_BATCH];
    lucid_to_doubles(guess, said, (size_t)b->n);
    lucid_to_doubles(b->y, truth, (size_t)b->n);
    for (int64_t i = 0; i < b->n && r->wrong.count < MAX_WRONG; i++) {
        if (said[i] == truth[i]) continue;
        wrong_answer *w = &r->wrong.item[r->wrong.count++];
        w->said = (int)said[i];
        w->truth = (int)truth[i];
        double pixels[IMAGE];
        lucid_to_doubles(lucid_select(b->x, 0, i), pixels, IMAGE);
        for (int k = 0; k < IMAGE; k++) w->pixels[k] = (float)pixels[k];
    }
}

void report_epoch(report *r, int epoch, double train_loss, const score *s, double seconds)
{
    double test_loss = s->n ? s->loss / (double)s->n : 0;
    fprintf(r->metrics,
            "{\"epoch\": %d, \"train_loss\": %.9g, \"test_loss\": %.9g, \"test_accuracy\": %.2f, "
            "\"seconds\": %.3f}\n",
            epoch, train_loss, test_loss, score_accuracy(s), seconds);
    fflush(r->metrics);
    curves_add(&r->curves, epoch, train_loss, test_loss, score_accuracy(s));
}

void report_end(report *r, lucid_module *net, const score *s, bool interrupted)
{
    double seconds = now() - r->began;
    char path[PATH_SIZE];
    if (r->metrics) {
        fclose(r->metrics);
        lucid_save(net, in_folder(r, "mnist.safetensors", path));
        if (r->curves.n > 0) draw_curves(&r->curves, in_folder(r, "curves.png", path));
        draw_filters(net, in_folder(r, "filters.png", path));
    }
    if (s->n > 0) draw_wrong_answers(&r->wrong, in_folder(r, "wrong.png", path));
    int epochs = r->curves.n;
    if (interrupted) printf("interrupted; weights, metrics and pictures are saved\n");
    if (r->o->eval_only) printf("test accuracy %.2f %%, %.1f s\n", score_accuracy(s), seconds);
    else
        printf("test accuracy %.2f %% after %d epoch%s, %.1f s\n", score_accuracy(s), epochs,
               epochs == 1 ? "" : "s", seconds);
    free(r);
}
