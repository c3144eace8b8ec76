# doc/: the manual.
dist_doc_DATA += \
	LICENSE \
	README.md \
	doc/accuracy.md \
	doc/add-a-model.md \
	doc/add-an-op.md \
	doc/architecture.md \
	doc/data.md \
	doc/first-model.md \
	doc/music-data.md \
	doc/music-search.md \
	doc/music-tagger.md \
	doc/ops.md \
	doc/performance.md \
	doc/results.md \
	doc/spectra.md \
	doc/style-vae.md \
	doc/weights.md

# The table of operators, made as ops.h is (autograd/local.mk).
CLEANFILES += doc/ops.md doc/ops.md.tmp
doc/ops.md: autograd/ops.stamp
	$(AM_V_GEN)$(MKDIR_P) doc && \
	(cd $(srcdir) && $(AWK) -v mode=doc -f autograd/gen_ops.awk autograd/ops.def $(op_sources)) > $@.tmp && \
	mv -f $@.tmp $@
