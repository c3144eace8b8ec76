# autograd/: the tape and every operator.
autogradinclude_HEADERS += \
	autograd/autograd.h \
	autograd/gradcheck.h \
	autograd/op.h \
	autograd/ops.h \
	autograd/profile.h

# Files that define operators; ops.h is made from their doc comments.
op_sources = \
	autograd/ops_attention.c \
	autograd/ops_batch_norm.c \
	autograd/ops_batch_norm_pool.c \
	autograd/ops_binary.c \
	autograd/ops_checkpoint.c \
	autograd/ops_contrastive.c \
	autograd/ops_conv.c \
	autograd/ops_expand.c \
	autograd/ops_index.c \
	autograd/ops_latent.c \
	autograd/ops_linalg.c \
	autograd/ops_linear.c \
	autograd/ops_loss.c \
	autograd/ops_mask.c \
	autograd/ops_move.c \
	autograd/ops_norm.c \
	autograd/ops_norm_lstm.c \
	autograd/ops_patch.c \
	autograd/ops_position.c \
	autograd/ops_pool.c \
	autograd/ops_random.c \
	autograd/ops_recurrent.c \
	autograd/ops_reduce.c \
	autograd/ops_resize.c \
	autograd/ops_scalar.c \
	autograd/ops_scores.c \
	autograd/ops_slice.c \
	autograd/ops_softmax.c \
	autograd/ops_unary.c \
	autograd/ops_view.c \
	autograd/ops_window.c

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

BUILT_SOURCES += autograd/ops.h

libetude_la_SOURCES += \
	$(op_sources) \
	autograd/apply.c \
	autograd/attention.c \
	autograd/attention.h \
	autograd/backward.c \
	autograd/batch_norm.c \
	autograd/batch_norm.h \
	autograd/gradcheck.c \
	autograd/gradcheck_core.c \
	autograd/gradcheck_internal.h \
	autograd/gradcheck_numeric.c \
	autograd/gradcheck_op.c \
	autograd/gradients.c \
	autograd/internal.h \
	autograd/mixed.c \
	autograd/norm_lstm.c \
	autograd/norm_lstm.h \
	autograd/norm_lstm_bwd.c \
	autograd/ops_table.c \
	autograd/profile.c \
	autograd/recurrent.c \
	autograd/recurrent.h \
	autograd/recurrent_bwd.c \
	autograd/shards.c \
	autograd/shards.h \
	autograd/sum_to.c \
	autograd/sweep.h \
	autograd/tape.c
