# models/: one file pair for each paper's model.
