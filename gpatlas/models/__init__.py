"""The models, what they share, and how they are judged."""
