# nn/: modules, layers, optimisers, metrics, training.
nninclude_HEADERS += \
	nn/additive_attention.h \
	nn/batch_norm.h \
	nn/beam.h \
	nn/cells.h \
	nn/checkpoint.h \
	nn/contrastive.h \
	nn/conv.h \
	nn/dropout.h \
	nn/early_stop.h \
	nn/embedding.h \
	nn/init.h \
	nn/layer_norm.h \
	nn/linear.h \
	nn/mask.h \
	nn/metrics.h \
	nn/mlp.h \
	nn/module.h \
	nn/multi_head_attention.h \
	nn/nearest.h \
	nn/norm_lstm.h \
	nn/optim.h \
	nn/positions.h \
	nn/projection.h \
	nn/rnn.h \
	nn/schedule.h \
	nn/style_codebook.h \
	nn/train.h \
	nn/transformer.h

libetude_la_SOURCES += \
	nn/additive_attention.c \
	nn/batch_norm.c \
	nn/beam.c \
	nn/cells.c \
	nn/checkpoint.c \
	nn/contrastive.c \
	nn/conv.c \
	nn/dropout.c \
	nn/early_stop.c \
	nn/embedding.c \
	nn/init.c \
	nn/internal.h \
	nn/layer_norm.c \
	nn/linear.c \
	nn/load.c \
	nn/mask.c \
	nn/metrics.c \
	nn/mlp.c \
	nn/module.c \
	nn/multi_head_attention.c \
	nn/nearest.c \
	nn/norm_lstm.c \
	nn/optim.c \
	nn/optim_blocks.c \
	nn/optim_internal.h \
	nn/optim_state.c \
	nn/optim_swats.c \
	nn/pairs.c \
	nn/positions.c \
	nn/projection.c \
	nn/rnn.c \
	nn/schedule.c \
	nn/style_codebook.c \
	nn/state.c \
	nn/train.c \
	nn/transformer.c
