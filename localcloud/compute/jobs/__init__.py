"""What training jobs and Batch jobs share: the directory, the data, the process with its limits, the archive."""
