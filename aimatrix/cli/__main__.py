"""``python -m aimatrix.cli``, where the script isn't on the path."""

from aimatrix.cli import main

main()
