/* tensorboard.h: event files for TensorBoard: curves, images, histograms and texts of a run.
 *
 *     lucid_tensorboard *board = lucid_tensorboard_open("runs/first");
 *     for (int64_t step = 0; step < steps; step++) {
 *         ...
 *         lucid_tensorboard_scalar(board, "loss/train", lucid_item(loss), step);
 *     }
 *     lucid_tensorboard_histogram(board, "conv1", lucid_get_parameter(net, "conv1.weight"), step);
 *     lucid_tensorboard_close(board);
 *
 * `tensorboard --logdir runs` shows them, a run for each folder; it needs neither TensorFlow nor
 * lucid. Names and order of arguments are those of torch.utils.tensorboard.SummaryWriter: a tag
 * with "/" is in a group of the part before it. Each call writes its record whole into the file, so
 * that a run that is killed keeps what it wrote, and a page that is open sees it.
 *
 * A NULL board comes from an earlier error: functions return false and leave that error as it is.
 * Errors: LUCID_ERR_ARGUMENT for an argument that is refused, LUCID_ERR_IO where the file cannot be
 * written, LUCID_ERR_MEMORY. Threads: one at a time for a board. */
#ifndef LUCID_IO_TENSORBOARD_H
#define LUCID_IO_TENSORBOARD_H

#include "../core/api.h"
#include "../core/tensor.h"

LUCID_BEGIN_DECLS

typedef struct lucid_tensorboard lucid_tensorboard;

/* Begins a new file, "events.out.tfevents...", in a folder, which is made where it does not exist
 * (its parents too). Older files in it stay, and TensorBoard shows all of them as one run. The
 * caller releases it with lucid_tensorboard_close. NULL after an error. */
LUCID_API lucid_tensorboard *lucid_tensorboard_open(const char *folder);
/* Ends the file. NULL does nothing. */
LUCID_API void lucid_tensorboard_close(lucid_tensorboard *board);
/* The path of the file; it lives as long as the board. */
LUCID_API const char *lucid_tensorboard_path(const lucid_tensorboard *board);

/* A point of a curve. The value is kept as float32; NaN and infinities are kept too. */
LUCID_API bool lucid_tensorboard_scalar(lucid_tensorboard *board, const char *tag, double value,
                                        int64_t step);
/* A picture [C,H,W] or [H,W], C 1 (gray), 2 (with alpha), 3 (RGB) or 4 (RGBA): uint8, or floating
 * from 0 to 1, where values outside are cut off and NaN is 0. At most 16384 pixels each way. */
LUCID_API bool lucid_tensorboard_image(lucid_tensorboard *board, const char *tag,
                                       const lucid_tensor *image, int64_t step);
/* How often values of a tensor of any sizes occur, in PyTorch's bins, which grow by 10 % from one
 * to the next. An error where there is no value, or one that is not finite. */
LUCID_API bool lucid_tensorboard_histogram(lucid_tensorboard *board, const char *tag,
                                           const lucid_tensor *values, int64_t step);
/* A text, which TensorBoard shows as Markdown. It is UTF-8. */
LUCID_API bool lucid_tensorboard_text(lucid_tensorboard *board, const char *tag, const char *text,
                                      int64_t step);

LUCID_END_DECLS
#endif
