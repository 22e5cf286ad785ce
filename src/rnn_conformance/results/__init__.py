"""What a run found: plain records, the documents made of them, and the verdict."""
