"""How synthetic files come to be: seed documents, jobs, the queue, workers, gates, publishing, scaling."""
