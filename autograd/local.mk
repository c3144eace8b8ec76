# autograd/: the tape and every operator.
autogradinclude_HEADERS += \
	autograd/autograd.h \
	autograd/op.h

# Files that define operators; ops.h is made from their doc comments.
op_sources =

EXTRA_DIST += autograd/gen_ops.awk autograd/ops.def

# ops.h is written only when it changes, so that a new backward rule does not rebuild everything.
CLEANFILES += autograd/ops.h autograd/ops.h.tmp autograd/ops.stamp
autograd/ops.stamp: autograd/gen_ops.awk autograd/ops.def $(op_sources)
	$(AM_V_GEN)$(MKDIR_P) autograd && \
	(cd $(srcdir) && $(AWK) -f autograd/gen_ops.awk autograd/ops.def $(op_sources)) > autograd/ops.h.tmp && \
	if cmp -s autograd/ops.h.tmp autograd/ops.h; then rm -f autograd/ops.h.tmp; \
	else mv -f autograd/ops.h.tmp autograd/ops.h; fi && \
	echo made > $@
autograd/ops.h: autograd/ops.stamp
	@test -f $@ || test -f $(srcdir)/$@ || rm -f autograd/ops.stamp
	@test -f $@ || test -f $(srcdir)/$@ || $(MAKE) $(AM_MAKEFLAGS) autograd/ops.stamp
