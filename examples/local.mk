# examples/: one program for each paper. They are noinst_PROGRAMS; what they share is examples/common/.
