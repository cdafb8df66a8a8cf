"""Models, texts and prompts."""
