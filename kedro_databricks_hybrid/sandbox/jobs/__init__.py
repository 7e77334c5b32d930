"""The jobs API: jobs, runs, and the processes that perform tasks."""
