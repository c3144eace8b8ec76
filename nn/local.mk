# nn/: modules, optimisers, metrics, training.
nninclude_HEADERS += \
	nn/additive_attention.h \
	nn/cells.h \
	nn/dropout.h \
	nn/embedding.h \
	nn/init.h \
	nn/layer_norm.h \
	nn/linear.h \
	nn/mask.h \
	nn/metrics.h \
	nn/module.h \
	nn/optim.h \
	nn/rnn.h

libetude_la_SOURCES += \
	nn/additive_attention.c \
	nn/cells.c \
	nn/dropout.c \
	nn/embedding.c \
	nn/init.c \
	nn/internal.h \
	nn/layer_norm.c \
	nn/linear.c \
	nn/mask.c \
	nn/metrics.c \
	nn/module.c \
	nn/optim.c \
	nn/rnn.c \
	nn/state.c
