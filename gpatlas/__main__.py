from gpatlas.cli import main

main()
