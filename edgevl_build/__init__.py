"""What setup.py needs beyond setuptools: messages without CMake, the files of share/edgevl. Not installed."""
