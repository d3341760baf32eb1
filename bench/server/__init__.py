"""Our server: a live engine of `generate` behind the HTTP interface that OpenAI's clients speak."""
