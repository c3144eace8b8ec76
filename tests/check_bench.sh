#!/bin/sh
# etude-bench as a user meets it: what its command line takes and refuses, and one short table. Times are not looked at.
# make builds it and runs this in the build folder; ETUDE_BENCH is the program (bench/etude-bench).
set -u

program=${ETUDE_BENCH:-bench/etude-bench}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/program.sh
. "$here/program.sh"

while read -r words options; do
    # shellcheck disable=SC2086
    misuse "$(echo "$words" | tr _ ' ')" $options
done << 'END'
unknown_option,_or_one_without_its_value:_gemm; gemm
unknown_option,_or_one_without_its_value:_--only; --only
unknown_option_--fast; --fast 1
no_such_workload_in_gem; --only gem
no_such_workload_in_gemm,; --only gemm,
no_such_workload_in_gemm,,ops; --only gemm,,ops
--threads_wants_a_number_from_1_on,_not_0; --threads 0
--threads_wants_a_number_from_1_on,_not_two; --threads two
--threads_wants_a_number_from_1_on,_not_1.5; --threads 1.5
--threads_wants_a_number_from_1_on,_not_99999999999; --threads 99999999999
--seconds_wants_a_time,_not_soon; --seconds soon
--seconds_wants_a_time,_not_-1; --seconds -1
--seconds_wants_a_time,_not_nan; --seconds nan
--seconds_wants_a_time,_not_inf; --seconds inf
--seconds_wants_a_time,_not_1e9; --seconds 1e9
--steps_wants_a_number_from_1_on,_not_0; --steps 0
--steps_wants_a_number_from_1_on,_not_many; --steps many
no_such_model:_gtzan; --model gtzan
no_such_model:_gtzan; --serve --model gtzan
no_such_model:_audio/won96; --model audio/won96
--save_goes_with_--serve_or_a_--model_of_rnn; --save x
--save_goes_with_--serve_or_a_--model_of_rnn; --save x --model gtzan/gru --peak
--only_leaves_out_the_workload_of_--model_gtzan/gru; --model gtzan/gru --only gemm,vit
--save_goes_with_--serve_or_a_--model_of_rnn; --save x --only elementwise
--save_goes_with_--serve_or_a_--model_of_rnn; --save x --model conv/1d-128
no_kernels_named_"vax"_here --isa vax
not_within_1..256 --threads 300
END
misuse "no such workload in ; see --help" --only ""
expect "nothing was written" test ! -e x

"$program" --help > output 2> errors
expect "help" test $? -eq 0
sed -n 's/.*{"\([a-z]*\)", bench_[a-z]*, .*/\1/p' "$here/../bench/etude_bench.c" > workloads
expect "of which there are some" test "$(wc -l < workloads)" -gt 10
while read -r workload; do
    expect "tells of $workload" says "^  $workload "
done < workloads
"$program" --only elementwise --brief --seconds 0 > output 2> errors
expect "a table" test $? -eq 0 -a "$(wc -l < output)" -gt 4
"$program" --only elementwise --brief --seconds 0 --json > output 2> errors
expect "as JSON" test $? -eq 0
expect "one object" test "$(head -c 1 output)$(tail -n 1 output)" = "{}"
"$program" --only rnn --model gtzan/gru --brief --seconds 0 --save saved > output 2> errors
expect "a model's row" says '^ *gtzan/gru '
expect "alone" test "$(grep -c '^ *[a-z]*/[a-z]* ' output)" -eq 1
expect "saved" test -s saved
echo "mm" | "$program" --serve --model nowhere > output 2> errors
expect "serves known models alone" test $? -eq 2
if [ -c /dev/full ]; then
    for options in --help --peak "--only elementwise --brief --seconds 0" "--only elementwise --brief --seconds 0 --json"; do
        # shellcheck disable=SC2086
        "$program" $options > /dev/full 2> errors
        expect "$options: what cannot be written is told" grep -q '^etude-bench: writing the results failed$' errors
    done
fi

finish
