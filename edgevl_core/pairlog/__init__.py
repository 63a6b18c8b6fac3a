"""The pair log: RGB-D streams in ordinary rosbag2 directories, written so that a power cut costs a second."""
