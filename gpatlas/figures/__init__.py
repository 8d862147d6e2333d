"""The figures: their points, how these are drawn, what they show."""
