"""Command-line interface, `era5dl COMMAND`.

    main            entry point: runs a command, turns errors and signals into exit codes
    parser, flags   commands, their flags and help texts (argparse)
    arguments       from parsed flags to settings, selection and plan
    commands/       one function per command: (arguments, output, interrupts) -> exit code
    run_session     runs the engine for download, resume, verify --repair and demo
    output          stdout, stderr and --json; plain_display and live_display show progress, json_output writes records
    interrupts      Ctrl-C and termination signals
    exit_codes      the exit codes and what they mean

A new command: a function in commands/ and its entry in `parser`. A new flag: `parser` if one command has it, `flags` if
several do; if it is a setting, also `era5dl.settings` and `arguments.SETTING_FLAGS`. A new --json record: also the
docstring of `json_output`.
"""
