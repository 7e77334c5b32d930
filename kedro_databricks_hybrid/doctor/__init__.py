"""Every prerequisite of the workflow as a check, with its cause and its cure."""
