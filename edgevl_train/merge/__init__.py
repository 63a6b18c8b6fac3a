"""One student from several robots' adapted ones, whose weights have a common origin."""
