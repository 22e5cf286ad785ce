"""What is right, and how far off one may be; knows no implementation."""
