"""`python -m replicate_stream` is the command line."""

from replicate_stream._cli import main

main()
