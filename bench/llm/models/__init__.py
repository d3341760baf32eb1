"""What a model is: its configuration, weights, tokenizer and prompts, and the plain decoder that is the oracle."""
