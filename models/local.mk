# models/: one file pair for each paper's model.
modelsinclude_HEADERS += \
	models/rnn_attention.h

libetude_la_SOURCES += \
	models/rnn_attention.c
