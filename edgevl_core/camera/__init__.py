"""Pictures of a camera: decoded, depth in metres, registration, and the one preprocessing of a student."""
