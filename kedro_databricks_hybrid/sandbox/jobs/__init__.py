"""The jobs API: jobs, runs, and the processes of tasks."""
