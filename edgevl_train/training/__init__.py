"""The one training loop, and the two stages that use it."""
