"""What is computed: configurations, calls, backward passes, cases, and the clauses."""
