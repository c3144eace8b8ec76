# nn/: modules, optimisers, metrics, training.
nninclude_HEADERS += \
	nn/init.h \
	nn/linear.h \
	nn/metrics.h \
	nn/module.h \
	nn/optim.h \
	nn/rnn.h

libetude_la_SOURCES += \
	nn/init.c \
	nn/internal.h \
	nn/linear.c \
	nn/metrics.c \
	nn/module.c \
	nn/optim.c \
	nn/rnn.c \
	nn/state.c
