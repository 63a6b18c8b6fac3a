"""What a student learns by, a file each: the loss, and the projector that is trained beside a student, if any."""
