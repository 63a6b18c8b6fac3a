"""``edgevl teacher pretrain``: a small teacher from photos and simulated rooms."""
