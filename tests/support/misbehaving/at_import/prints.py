"""200 lines of output, and an exception"""

for number in range(200):
    print(f"loading layer {number}")

raise RuntimeError("no weights")
