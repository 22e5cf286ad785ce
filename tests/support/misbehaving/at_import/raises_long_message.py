"""a message of 2.4 MB, in many lines"""

raise ValueError("words\n" * 400_000)
