# tests/mutation/: `make mutation` changes backward rules one at a time and counts how many of the changes
# the gradient checks notice, and other sources, of which suites judge. Takes hours; not part of check.
# MUTATION_FLAGS passes options on, such as --only WORD or --done FILE (goes on where an earlier run ended);
# MUTATION_FILES and MUTATION_SUITES choose sources (other suites than these must have been built).
EXTRA_PROGRAMS += tests/mutation/driver tests/mutation/mutate

tests_mutation_driver_SOURCES = tests/mutation/driver.c
tests_mutation_driver_LDFLAGS = $(AM_LDFLAGS) $(guarded)
guarded = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
tests_mutation_mutate_LDADD =
tests_mutation_mutate_SOURCES = \
	tests/mutation/mutants.c \
	tests/mutation/mutants.h \
	tests/mutation/mutate.c \
	tests/mutation/source.c \
	tests/mutation/source.h

EXTRA_DIST += tests/mutation/equivalent.txt

MUTATION_JOBS = 2
MUTATION_FLAGS =
MUTATION_FILES = $(op_sources) \
	autograd/attention.c=attention,attention_qkv,attention_weights \
	autograd/norm_lstm_bwd.c=norm_lstm_walk \
	autograd/recurrent_bwd.c=rnn,gru,lstm \
	autograd/shards.c=rnn,gru,lstm,additive_scores \
	tensor/conv.c=conv1d,conv2d \
	tensor/conv_small.c=conv1d,conv2d \
	tensor/conv_tall.c=conv2d \
	tensor/kernels/conv_tall.h=conv2d \
	tensor/kernels/elementwise.h=$(unary_ops) \
	tensor/kernels/pool.h=max_pool1d,max_pool2d,avg_pool1d,avg_pool2d,batch_norm,batch_norm_relu,batch_norm_relu_max_pool \
	tensor/kernels/recurrent_cells.h=rnn,gru,lstm

if HAVE_CHECK
MUTATION_SUITES = \
	autograd/backward.c=@check_autograd,@check_tape,@check_scopes,@check_remake,@check_profile,add,attention,linear_act,mean,rnn \
	autograd/gradients.c=@check_autograd,@check_tape,@check_scopes,@check_remake,@check_profile,add,attention,linear_act,mean,rnn \
	autograd/ops_index.c=@check_shape_ops,gather,scatter_add,embedding \
	autograd/ops_move.c=@check_shape_ops,flip,roll,pad \
	autograd/sum_to.c=@check_reduce_ops,mul \
	nn/checkpoint.c=@check_train \
	nn/load.c=@check_module,@check_files \
	nn/metrics.c=@check_metrics \
	nn/module.c=@check_module \
	nn/nearest.c=@check_search \
	nn/optim.c=@check_optim,@check_profile \
	nn/optim_blocks.c=@check_optim \
	nn/optim_state.c=@check_optim,@check_train \
	nn/optim_swats.c=@check_optim \
	nn/pairs.c=@check_train,@check_optim \
	nn/state.c=@check_module,@check_optim,@check_train \
	tensor/copy.c=@check_misuse,@check_copy \
	tensor/file.c=@check_files \
	tensor/iter.c=@check_copy \
	tensor/json.c=@check_json \
	tensor/json_write.c=@check_json \
	tensor/kernels/attention.h=@check_kernel_rows \
	tensor/kernels/reduce.h=@check_kernel_rows \
	tensor/kernels/rows.h=@check_kernel_rows,softmax,log_softmax,layer_norm \
	tensor/kernels/transpose.h=@check_kernel_rows \
	tensor/npy.c=@check_npy \
	tensor/order.c=@check_shape_ops \
	tensor/pool.c=@check_pool \
	tensor/safetensors.c=@check_safetensors,@check_module \
	tensor/safetensors_write.c=@check_safetensors,@check_module \
	tensor/scope.c=@check_scopes,@check_autograd,@check_tape,@check_remake \
	tensor/tensor.c=@check_tensor,@check_view,@check_copy,@check_misuse,@check_autograd,@check_tape,@check_scopes,@check_bf16,@check_remake,@check_optim \
	tensor/wire.c=@check_npy,@check_safetensors \
	tensor/workers.c=@check_workers,@check_parallel
mutation_suites = \
	tests/check_autograd.$(OBJEXT) tests/check_bf16.$(OBJEXT) tests/check_copy.$(OBJEXT) \
	tests/check_files.$(OBJEXT) tests/check_json.$(OBJEXT) tests/check_kernel_rows.$(OBJEXT) \
	tests/check_metrics.$(OBJEXT) tests/check_misuse.$(OBJEXT) tests/check_module.$(OBJEXT) \
	tests/check_npy.$(OBJEXT) tests/check_optim.$(OBJEXT) tests/check_parallel.$(OBJEXT) \
	tests/check_pool.$(OBJEXT) tests/check_profile.$(OBJEXT) tests/check_reduce_ops.$(OBJEXT) \
	tests/check_remake.$(OBJEXT) tests/check_safetensors.$(OBJEXT) tests/check_scopes.$(OBJEXT) \
	tests/check_search.$(OBJEXT) tests/check_shape_ops.$(OBJEXT) tests/check_tape.$(OBJEXT) \
	tests/check_tensor.$(OBJEXT) tests/check_train.$(OBJEXT) tests/check_view.$(OBJEXT) \
	tests/check_workers.$(OBJEXT)
endif

# Ops whose derivatives are elementwise kernels.
unary_ops = abs,clamp,cos,elu,erf,exp,expm1,gelu,gelu_tanh,log,log1p,log_sigmoid,mul,neg,quick_gelu,reciprocal,relu,rsqrt,sigmoid,silu,sin,softplus,sqrt,square,tanh

# Kernels are changed in a variant with vectors where there is one, and noticed by float32 differing from
# float64; else in float64.
if WITH_SSE2
mutation_isa = -DET_ISA_SSE2 $(SSE2_CFLAGS)
mutation_isa_name = sse2
else
mutation_isa = -DET_ISA_F64
endif

.PHONY: mutation
mutation: all tests/mutation/mutate$(EXEEXT) tests/mutation/driver.$(OBJEXT) $(mutation_suites)
	@test -f .libs/libetude.a || { echo 'mutation: needs the static library (--enable-static)'; exit 1; }
	ETUDE_ISA=$(mutation_isa_name) tests/mutation/mutate$(EXEEXT) --top $(srcdir) --work mutants \
	  --cc '$(CC)' --flags '$(DEFS) $(DEFAULT_INCLUDES) $(INCLUDES) $(AM_CPPFLAGS) $(mutation_isa) $(CPPFLAGS) $(ET_CFLAGS) -w -O1' \
	  --link '$(CC) $(guarded) tests/mutation/driver.$(OBJEXT)' \
	  --suite '$(CC)' --rest '.libs/libetude.a $(CHECK_LIBS) $(LIBS)' \
	  --kernels $(srcdir)/tensor/kernels/variant.c --equivalent $(srcdir)/tests/mutation/equivalent.txt \
	  --jobs $(MUTATION_JOBS) $(MUTATION_FLAGS) $(MUTATION_FILES) $(MUTATION_SUITES); \
	status=$$?; rm -rf mutants; exit $$status
