"""What all nodes share: lifecycle, parameters, quality of service, streams, threads, diagnostics, a clean end."""
