"""prints without an end"""

while True:
    print("loading " * 2000)
