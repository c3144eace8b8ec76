# nn/: modules, optimisers, metrics, training.
nninclude_HEADERS += \
	nn/metrics.h

libetude_la_SOURCES += \
	nn/metrics.c
