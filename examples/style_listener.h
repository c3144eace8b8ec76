/* An independent judge of style: a recurrent classifier that has heard real pieces only and shares nothing
 * with the model that it judges. It reads intervals, times and durations, so that the key tells it
 * nothing. */
#ifndef ETUDE_EXAMPLES_STYLE_LISTENER_H
#define ETUDE_EXAMPLES_STYLE_LISTENER_H

#include "examples/style_data.h"
#include "models/rnn_attention.h"
#include "tensor/strbuf.h"

/* A new judge of so many styles; free with et_module_free(&l->module). */
et_rnn_attention *style_listener_new(int64_t styles);

/* Trains it on the training part. */
et_status style_listener_train(et_rnn_attention *l, const style_data *d);

/* Writes it with the names of its styles and a number of the training part that it learned from. */
et_status style_listener_write(const et_rnn_attention *l, const style_data *d, const char *path);

/* 1 if the file says that its judge learned these styles from this training part; 0, and what it says instead
 * is added to `why`; or a negative status: it is no such file, ENOMEM. */
int style_listener_is_of(const char *path, const style_data *d, et_strbuf *why);

/* The style that it hears in each of the items, heard[items->n], or in each of the pieces, heard[pieces->n];
 * a piece without notes is heard as -1. */
et_status style_listen_items(const et_rnn_attention *l, const style_data *d, const et_indices *items,
                             int32_t *heard);
et_status style_listen(const et_rnn_attention *l, const et_segments *pieces, int32_t *heard);

#endif
