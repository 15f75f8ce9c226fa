"""``python -m rs3gw`` is ``rs3gw``."""

from rs3gw.cli import main

main(prog_name="rs3gw")
