"""open_clip teachers: loaded from names or files, their tokenizers, and text towers exported for the robot."""
