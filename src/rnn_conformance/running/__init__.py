"""What is run, where, and how it becomes records and documents."""
