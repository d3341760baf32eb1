"""What a model's predictions lose where its weights or its cache are stored as codes: texts, scores, and measures."""
