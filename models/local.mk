# models/: one file pair for each paper's model.
modelsinclude_HEADERS += \
	models/ast.h \
	models/bert.h \
	models/bert_pretrain.h \
	models/clap.h \
	models/cnn14.h \
	models/htsat.h \
	models/mulan.h \
	models/mulan_compact.h \
	models/resnet.h \
	models/rnn_attention.h \
	models/style_vae.h \
	models/tagger.h \
	models/transformer.h \
	models/two_tower.h \
	models/vit.h

libetude_la_SOURCES += \
	models/ast.c \
	models/bert.c \
	models/bert_pretrain.c \
	models/clap.c \
	models/cnn14.c \
	models/htsat.c \
	models/mulan.c \
	models/mulan_compact.c \
	models/resnet.c \
	models/rnn_attention.c \
	models/style_vae.c \
	models/style_vae_internal.h \
	models/style_vae_sample.c \
	models/tagger.c \
	models/transformer.c \
	models/transformer_decode.c \
	models/transformer_internal.h \
	models/two_tower.c \
	models/vit.c
