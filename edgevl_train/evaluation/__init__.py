"""What a student is worth: predictions, calibration, metrics, the decision to deploy, reports."""
