"""Training data: cached pairs, their split and curation, the teacher's embeddings, augmented batches."""
