"""What an implementation is, in whichever form it comes, and where it is found."""
