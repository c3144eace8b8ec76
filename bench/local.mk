# bench/: speed and memory. "make bench" builds the programs and runs bench/run.sh, where there is one.
