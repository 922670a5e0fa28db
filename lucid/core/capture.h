/* capture.h: recording a training step once and playing it back, without the cost of issuing it.
 *
 *     typedef struct { lucid_module *net; lucid_optimizer *opt; lucid_tensor *x, *y, *loss; } Step;
 *
 *     static bool step(void *user)
 *     {
 *         LUCID_SCOPE;
 *         Step *s = user;
 *         lucid_tensor *loss = lucid_cross_entropy(lucid_forward(s->net, s->x), s->y);
 *         lucid_zero_grad(s->opt);
 *         if (!lucid_backward(loss) || !lucid_step(s->opt)) return false;
 *         lucid_release(s->loss);
 *         s->loss = lucid_retain(lucid_detach(loss));
 *         return true;
 *     }
 *
 *     lucid_graph *graph = lucid_capture(device, step, &s);
 *     while (lucid_next(data, &b)) {
 *         lucid_copy_(s.x, b.x);              // new numbers into the same memory
 *         lucid_copy_(s.y, b.y);
 *         lucid_replay(graph);                // forward, backward and optimizer, as one
 *     }
 *     lucid_graph_free(graph);
 *
 * On a GPU a step of many small operations takes as long as it takes to issue them; a recorded one
 * (a CUDA graph) is issued as a whole. On the CPU there is nothing to record: lucid_replay calls
 * the step, so one program serves both.
 *
 * A replay works on the very memory that the step used when it was recorded: tensors that it reads
 * and writes must stay where they are and alive until the graph is freed, and its sizes are fixed.
 * What happens in C alone (conditions, prints, hooks) happens while recording only. Three things go
 * on by themselves: random numbers (dropout) are new in every replay, the learning rate is the
 * optimizer's current one, and optimizers count their steps; a program with replays gives the
 * same numbers as one without.
 *
 * What cannot be recorded is refused, and the error names it: anything that waits for the device
 * (lucid_item, printing, copies from or to the host, BatchNorm with a cumulative average), and an
 * operation on another device. */
#ifndef LUCID_CAPTURE_H
#define LUCID_CAPTURE_H

#include "api.h"
#include "device.h"

LUCID_BEGIN_DECLS

typedef struct lucid_graph lucid_graph;
/* A step: false after an error. */
typedef bool (*lucid_step_fn)(void *user);

/* Runs `step` once as always, so that everything it needs exists (gradients, the optimizer's
 * state), then records it and plays the recording once: when it returns, two steps are done. NULL
 * after an error: one in the step, one of the device, or a capture within a capture. While it
 * records, no other thread may use the device. The graph belongs to the caller. */
LUCID_API lucid_graph *lucid_capture(lucid_device device, lucid_step_fn step, void *user);
/* Plays the recorded step. Queued like any operation: nothing waits for it. False after an error,
 * and while one is pending. Not thread-safe for one graph. */
LUCID_API bool lucid_replay(lucid_graph *graph);
/* How many steps the graph has done, those of lucid_capture included. */
LUCID_API int64_t lucid_graph_steps(const lucid_graph *graph);
/* Frees the graph. Tensors that the step has made (its loss, gradients) stay valid, but no replay
 * writes them any more. NULL does nothing. */
LUCID_API void lucid_graph_free(lucid_graph *graph);

LUCID_END_DECLS
#endif
