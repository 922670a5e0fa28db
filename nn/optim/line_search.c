/* line_search.c: a point on a line that satisfies the strong Wolfe conditions (Nocedal and Wright,
 * 2006, algorithms 3.5 and 3.6), with the safeguards that minFunc and PyTorch have. */
#include "nn/optim/lbfgs_priv.h"

#include <math.h>

static const double enough_decrease = 1e-4, enough_curvature = 0.9, shortest_change = 1e-9;

/* Where a cubic through both points, with their slopes, is lowest; within [low, high]. */
static double lowest_of_cubic(const luc_point *a, const luc_point *b, double low, double high)
{
    const luc_point *left = a->t <= b->t ? a : b, *right = a->t <= b->t ? b : a;
    double d1 = left->slope + right->slope - 3 * (left->loss - right->loss) / (left->t - right->t);
    double square = d1 * d1 - left->slope * right->slope;
    if (!(square >= 0)) return (low + high) / 2;
    double d2 = sqrt(square);
    double t = right->t - (right->t - left->t) *
                              ((right->slope + d2 - d1) / (right->slope - left->slope + 2 * d2));
    return fmin(fmax(t, low), high);
}

/* The loss at a step length. The old gradient of the point goes. */
static bool probe(luc_line *line, double t, luc_point *p)
{
    lucid_tensor *old = p->grad;
    p->grad = NULL;
    p->t = t;
    bool ok = luc_lbfgs_go(line->opt, line->start, t, line->direction) &&
              luc_lbfgs_evaluate(line->opt, line->closure, line->user, &p->loss, &p->grad) &&
              luc_lbfgs_go(line->opt, line->start, 0, line->direction);
    if (ok) p->slope = luc_dot(p->grad, line->direction);
    line->evaluations++;
    lucid_release(old);
    return ok && lucid_error_code() == LUCID_OK;
}

static void move_point(luc_point *to, luc_point *from)
{
    lucid_release(to->grad);
    *to = *from;
    from->grad = NULL;
}

static void copy_point(luc_point *to, const luc_point *from)
{
    lucid_release(to->grad);
    *to = *from;
    lucid_retain(to->grad);
}

static bool is_too_high(const luc_line *line, const luc_point *p)
{
    return p->loss > line->loss + enough_decrease * p->t * line->slope;
}

static bool is_flat(const luc_line *line, const luc_point *p)
{
    return fabs(p->slope) <= -enough_curvature * line->slope;
}

/* Ever larger steps until two points have what is wanted between them, or one has it itself
 * (*done). Returns false after an error; counts the steps in *probes. */
static bool bracket(luc_line *line, double first, int64_t most, luc_point b[2], bool *done,
                    int64_t *probes)
{
    luc_point start = {0, line->loss, line->slope, NULL};
    copy_point(&b[0], &(luc_point){0, line->loss, line->slope, line->grad});
    if (!probe(line, first, &b[1])) return false;
    for (; *probes < most; ++*probes) {
        if (is_too_high(line, &b[1]) || (*probes > 1 && b[1].loss >= b[0].loss)) return true;
        *done = is_flat(line, &b[1]);
        if (*done || b[1].slope >= 0) return true;
        double t = b[1].t, least = t + 0.01 * (t - b[0].t);
        double next = lowest_of_cubic(&b[0], &b[1], least, t * 10);
        move_point(&b[0], &b[1]);
        if (!probe(line, next, &b[1])) return false;
    }
    start.grad = lucid_retain(line->grad);
    move_point(&b[0], &start);
    return true;
}

/* The next point between the two: not too near to one of them twice in a row. */
static double between(const luc_point b[2], bool *slow)
{
    double low = fmin(b[0].t, b[1].t), high = fmax(b[0].t, b[1].t), margin = 0.1 * (high - low);
    double t = lowest_of_cubic(&b[0], &b[1], low, high);
    if (!(fmin(high - t, t - low) < margin)) {
        *slow = false;
        return t;
    }
    if (*slow || t >= high || t <= low) {
        *slow = false;
        return fabs(t - high) < fabs(t - low) ? high - margin : low + margin;
    }
    *slow = true;
    return t;
}

/* Narrows the bracket; *low is the index of its lower point. */
static bool zoom(luc_line *line, int64_t most, luc_point b[2], int *low, int64_t probes)
{
    double length = luc_largest(line->direction);
    bool done = false, slow = false;
    while (!done && probes < most && fabs(b[1].t - b[0].t) * length >= shortest_change) {
        luc_point now = {0, 0, 0, NULL};
        if (!probe(line, between(b, &slow), &now)) {
            lucid_release(now.grad);
            return false;
        }
        probes++;
        if (is_too_high(line, &now) || now.loss >= b[*low].loss) {
            move_point(&b[1 - *low], &now);
            *low = b[0].loss <= b[1].loss ? 0 : 1;
            continue;
        }
        done = is_flat(line, &now);
        if (!done && now.slope * (b[1 - *low].t - b[*low].t) >= 0)
            copy_point(&b[1 - *low], &b[*low]);
        move_point(&b[*low], &now);
    }
    return true;
}

bool luc_line_search(luc_line *line, double first, int64_t max_probes, luc_point *found)
{
    luc_point b[2] = {{0, 0, 0, NULL}, {0, 0, 0, NULL}};
    bool done = false;
    int64_t probes = 0;
    bool ok = bracket(line, first, max_probes, b, &done, &probes);
    int low = done || !(b[0].loss <= b[1].loss) ? 1 : 0;
    if (ok && !done) ok = zoom(line, max_probes, b, &low, probes);
    if (ok) move_point(found, &b[low]);
    lucid_release(b[0].grad);
    lucid_release(b[1].grad);
    return ok;
}
